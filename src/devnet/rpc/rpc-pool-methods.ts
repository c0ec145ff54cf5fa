import { formatAddress } from '../../filecoin/address.ts';
import { verifySignature, type Signature } from '../../filecoin/signature.ts';
import { cidJson, messageJson, sealMessage, type ChainMessage } from '../ledger/chain-message.ts';
import { messageSigningBytes } from '../../filecoin/messages.ts';
import type { ChainView } from '../ledger/chain-view.ts';
import { nextNonceOf, withGas } from '../ledger/compose-message.ts';
import { BASE_FEE, gasOf } from '../ledger/execute-message.ts';
import { methodFault, paramFault } from './rpc-fault.ts';
import { read, type RpcContext, type RpcMethods } from './rpc-method.ts';
import type { RpcRecord } from './rpc-params.ts';

export const poolMethods: RpcMethods = {
  MpoolGetNonce: read(1, ({ view }, params) => nextNonceOf(view.core, params.address(0))),
  GasEstimateMessageGas: read(3, ({ view }, params) => {
    const message = withGas(readMessage(params.record(0)));
    const sample: Signature = { type: message.from.protocol === 3 ? 2 : 1, data: new Uint8Array(65) };
    const { exitCode, error } = view.core.tryMessage(sealMessage(message, sample));
    if (exitCode !== 0) {
      throw methodFault(
        `estimating gas used: message execution failed: exit ${exitCode}, reason: ${error ?? 'unknown'}`,
      );
    }
    return messageJson(sealMessage(message, { type: 2, data: new Uint8Array() }));
  }),
  MpoolPush: {
    params: 1,
    permission: 'write',
    call: (context, params) => {
      const record = params.record(0);
      const message = readMessage(record.record('Message'));
      return pushMessage(context, message, readSignature(record.record('Signature')));
    },
  },
};

function pushMessage({ ledger, view }: RpcContext, message: ChainMessage, signature: Signature): { '/': string } {
  // Blocks hold the sender as it was signed, and nonces go by it: only key addresses send here.
  if (!verifySignature(signature, messageSigningBytes(message), message.from)) {
    throw methodFault(`mpool push: verify message signature: ${formatAddress(message.from)} did not sign this`);
  }
  const expected = nextNonceOf(view.core, message.from);
  const isReplacing = checkReplacement(view, message, signature);
  if (message.nonce < expected && !isReplacing) throw methodFault(`mpool push: minimum expected nonce is ${expected}`);
  const { accounts } = view.state;
  const balance = accounts.get(view.state.idOf(message.from) ?? -1n)?.balance ?? 0n;
  const needed = message.value + BigInt(gasOf(message)) * BASE_FEE;
  if (message.value < 0n || balance < needed) {
    throw methodFault(`mpool push: not enough funds (required: ${needed}, balance: ${balance})`);
  }
  if (message.gasLimit < gasOf(message)) throw methodFault(`mpool push: gas limit ${message.gasLimit} is too low`);
  const signed = sealMessage(message, signature);
  ledger.accept(signed);
  return cidJson(signed.cid);
}

/** Does it take the place of one in the pool? That takes a quarter more tip (lotus messagepool RbfNumDefault). */
function checkReplacement(view: ChainView, message: ChainMessage, signature: Signature): boolean {
  const old = view.core.pool.inPlaceOf(sealMessage(message, signature));
  if (old === undefined) return false;
  const needed = (old.message.gasPremium * 5n) / 4n + 1n;
  if (message.gasPremium >= needed) return true;
  const stem = `mpool push: message from ${formatAddress(message.from)} with nonce ${message.nonce} already in mpool`;
  throw methodFault(`${stem}: replace by fee has too low GasPremium: minimum ${needed}`);
}

function readMessage(record: RpcRecord): ChainMessage {
  const method = record.integer('Method');
  if (method < 0) throw paramFault('Method is not negative');
  return {
    to: record.address('To'),
    from: record.address('From'),
    nonce: record.integer('Nonce'),
    value: record.amount('Value'),
    gasLimit: record.integer('GasLimit'),
    gasFeeCap: record.amount('GasFeeCap'),
    gasPremium: record.amount('GasPremium'),
    method: BigInt(method),
    params: record.bytes('Params'),
  };
}

function readSignature(record: RpcRecord): Signature {
  const type = record.integer('Type');
  if (type !== 1 && type !== 2 && type !== 3) throw paramFault('Type is 1, 2 or 3');
  return { type, data: record.bytes('Data') };
}
