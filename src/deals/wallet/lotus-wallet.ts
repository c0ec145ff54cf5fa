import { inspect } from 'node:util';
import { walletHas, walletSign } from '../../chain/remote-wallet.ts';
import { createRpc, type RpcEndpoint, type RpcPool } from '../../chain/rpc.ts';
import { isNodeError, RpcError } from '../../chain/rpc-error.ts';
import { describeError, LadingError } from '../../errors.ts';
import { formatAddress, parseAddress, type Address } from '../../filecoin/address.ts';
import { verifySignature, type Signature } from '../../filecoin/signature.ts';
import type { OpenWallet } from './wallet.ts';

export interface LotusWalletOptions {
  /** `f1…` or `f3…`, or with `t`. */
  address: string;
  /** The nodes of CHAIN_RPC_URL with their tokens: the one that holds the key signs. */
  endpoints: readonly RpcEndpoint[];
  signal: AbortSignal;
}

interface Node {
  host: string;
  rpc: RpcPool;
}

const TOKEN_ADVICE = 'give CHAIN_RPC_TOKEN a token that may sign (on the node: lotus auth create-token --perm sign)';

function keyAddressOf(text: string): { address: Address; canonical: string } {
  let address: Address;
  try {
    address = parseAddress(text);
  } catch (cause) {
    throw new LadingError('WALLET_INVALID', `WALLET: '${text}' is not an address: ${describeError(cause)}`, { cause });
  }
  if (address.protocol !== 1 && address.protocol !== 3) {
    throw new LadingError('WALLET_INVALID', `WALLET: deals are signed by f1 or f3 addresses, not by '${text}'`);
  }
  return { address, canonical: formatAddress(address) };
}

/** What to do about a token, and that a signature which did not come is only late; other faults stay what they are. */
function explained(error: unknown, host: string): unknown {
  if (!(error instanceof RpcError)) return error;
  const { code, status } = error;
  if (status === 401 || isNodeError(error, /missing permission/i)) {
    return new LadingError('WALLET_REFUSED', `the wallet of ${host} refused our token: ${TOKEN_ADVICE}`);
  }
  if (code !== 'RPC_WRITE_UNKNOWN') return error;
  const text = `the wallet of ${host} did not answer: see that the node runs; it is asked again`;
  return new LadingError('WALLET_UNREACHABLE', text, { retry: 'later', cause: error });
}

/** Each call has its own time limit; who waits for a signature has no other reason to stop. */
const NEVER = new AbortController().signal;

class LotusWallet implements OpenWallet {
  readonly #address: Address;
  readonly #canonical: string;
  readonly #nodes: readonly Node[];
  #holder: Node | undefined;

  constructor({ address, endpoints }: LotusWalletOptions) {
    const { address: parsed, canonical } = keyAddressOf(address);
    this.#address = parsed;
    this.#canonical = canonical;
    this.#nodes = endpoints.map((endpoint) => ({
      host: new URL(endpoint.url).host,
      rpc: createRpc({ endpoints: [endpoint] }),
    }));
  }

  address(): Promise<string> {
    return Promise.resolve(this.#canonical);
  }

  /** The node that holds the key. Throws WALLET_UNKNOWN when all say that they do not, else why one cannot be asked. */
  async find(signal: AbortSignal): Promise<Node> {
    if (this.#holder !== undefined) return this.#holder;
    let fault: unknown;
    for (const node of this.#nodes) {
      try {
        if (!(await walletHas(node.rpc, this.#canonical, signal))) continue;
        this.#holder = node;
        return node;
      } catch (error) {
        signal.throwIfAborted();
        fault = explained(error, node.host);
      }
    }
    if (fault !== undefined) throw fault;
    const hosts = this.#nodes.map(({ host }) => host).join(', ') || 'no node (CHAIN_RPC_URL is not set)';
    throw new LadingError(
      'WALLET_UNKNOWN',
      `the key of ${this.#canonical} is not in the wallet of ${hosts}: import it there, or set WALLET=file:/path/to/key`,
    );
  }

  async sign(message: Uint8Array): Promise<Signature> {
    const { rpc, host } = await this.find(NEVER);
    let signature: Signature;
    try {
      signature = await walletSign(rpc, { address: this.#canonical, message }, NEVER);
    } catch (error) {
      // It may have moved to another node: the next signature looks for it.
      this.#holder = undefined;
      throw explained(error, host);
    }
    // A proposal under a wrong signature would be refused by every provider, and cost each of them our good name.
    if (verifySignature(signature, message, this.#address)) return signature;
    throw new LadingError(
      'WALLET_SIGNATURE_WRONG',
      `${host} answered with a signature that is not of ${this.#canonical} over what we sent: check that node`,
    );
  }

  toJSON() {
    return { address: this.#canonical, type: 'lotus' };
  }

  [inspect.custom](): string {
    return `Wallet ${this.#canonical}`;
  }

  [Symbol.dispose](): void {
    for (const { rpc } of this.#nodes) rpc.close();
  }
}

/** Faults that say something of the wallet, and not of the way to it. */
const SETTLED = ['WALLET_UNKNOWN', 'WALLET_REFUSED'];

/**
 * A wallet in a Lotus node (`Filecoin.WalletHas`, `Filecoin.WalletSign`). That the key is there is checked at once; a
 * node that cannot be reached now is asked again at the first signature.
 */
export async function openLotusWallet(options: LotusWalletOptions): Promise<OpenWallet> {
  using stack = new DisposableStack();
  const wallet = stack.use(new LotusWallet(options));
  try {
    await wallet.find(options.signal);
  } catch (error) {
    if (options.endpoints.length === 0 || (error instanceof LadingError && SETTLED.includes(error.code))) throw error;
    options.signal.throwIfAborted();
  }
  stack.move();
  return wallet;
}
