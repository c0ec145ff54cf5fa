/** Pages of Filfox, where everybody can look up what we say of the chain. */

function site(network: string): string {
  return network === 'calibration' ? 'https://calibration.filfox.info/en' : 'https://filfox.info/en';
}

export function dealPage(network: string, chainDealId: number): string {
  return `${site(network)}/deal/${chainDealId}`;
}

export function addressPage(network: string, address: string): string {
  return `${site(network)}/address/${encodeURIComponent(address)}`;
}

export function messagePage(network: string, cid: string): string {
  return `${site(network)}/message/${encodeURIComponent(cid)}`;
}

export function tipsetPage(network: string, epoch: number): string {
  return `${site(network)}/tipset/${epoch}`;
}
