// Before anything is drawn, so that nobody sees the wrong colours flash by.
try {
  document.documentElement.dataset.theme = localStorage.getItem('lading-theme') ?? 'auto';
} catch {
  // A browser that keeps nothing shows what the system has.
}
