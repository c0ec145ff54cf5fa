/** The look of the page about the API: one column of contents and one of text, dark where the reader likes it. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1c2430; --dim: #5b6675; --line: #dfe4ea; --soft: #f5f7f9; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e3e8ee; --dim: #9aa6b4; --line: #2c343e; --soft: #1b2128; --link: #7db8f5; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; display: grid; grid-template-columns: 21rem minmax(0, 1fr); background: var(--back); color: var(--text); font: 15px/1.55 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.2rem; border-right: 1px solid var(--line); background: var(--soft); font-size: 13px; }
nav .home { font-size: 1.2rem; font-weight: 700; color: inherit; }
nav h2 { margin: 1.2rem 0 .3rem; font-size: 12px; text-transform: uppercase; letter-spacing: .06em; }
nav h2 a { color: var(--dim); }
nav ul { margin: 0; padding: 0; list-style: none; }
nav li a { display: block; padding: .15rem 0; color: inherit; overflow-wrap: anywhere; }
main { padding: 1.5rem 2.5rem 6rem; max-width: 62rem; }
h1 { margin: 0 0 1rem; }
section > h2 { margin: 3rem 0 .5rem; text-transform: capitalize; }
article { margin: 1.5rem 0; padding: 1rem 1.25rem; border: 1px solid var(--line); border-radius: 8px; }
article:target, tr:target { outline: 2px solid var(--link); }
article h3 { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere; }
article h4 { margin: 1rem 0 .3rem; color: var(--dim); font-size: 12px; text-transform: uppercase; letter-spacing: .06em; }
article p { margin: .4rem 0; }
.anchor { color: var(--dim); font-weight: 400; }
.roles { float: right; padding: 0 .5em; border: 1px solid var(--line); border-radius: 1em; color: var(--dim); font-size: 12px; }
b.GET, b.HEAD { color: #1a7f4b; } b.POST { color: #b35900; } b.PUT, b.PATCH { color: #7a4fc4; } b.DELETE { color: #c5303a; }
nav b { display: inline-block; min-width: 3.6em; font-size: 10.5px; }
code, pre { font: 12.5px/1.5 ui-monospace, monospace; }
h3 code { font-size: inherit; }
pre { margin: .4rem 0; padding: .7rem .9rem; overflow-x: auto; border-radius: 6px; background: var(--soft); }
pre i { color: var(--dim); }
pre.example { max-height: 26rem; }
table { width: 100%; margin: .6rem 0; border-collapse: collapse; font-size: 13.5px; }
th { color: var(--dim); font-weight: 500; text-align: left; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; }
td:nth-child(2) { white-space: nowrap; overflow-wrap: normal; }
small { color: var(--dim); }
details { padding: .2rem 0; border-bottom: 1px solid var(--line); }
summary { cursor: pointer; }
details.good summary b { color: #1a7f4b; } details.bad summary b { color: #c5303a; }
@media (max-width: 60rem) { body { display: block; } nav { position: static; height: auto; max-height: 45vh; border-right: 0; border-bottom: 1px solid var(--line); } main { padding: 1rem; } td:first-child { white-space: normal; } .roles { float: none; } }
`;
