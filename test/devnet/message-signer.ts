import { Message } from 'iso-filecoin/message';
import { signMessage } from 'iso-filecoin/wallet';

import { secpKey } from './chain-fixture.ts';

interface LotusMessage {
  Version: 0;
  To: string;
  From: string;
  Nonce: number;
  Value: string;
  GasLimit: number;
  GasFeeCap: string;
  GasPremium: string;
  Method: number;
  Params: string;
}

/** Signs messages by iso-filecoin alone, so that our message CIDs and signatures are checked from outside. */
export function createWallet() {
  const sign = (estimated: unknown) => {
    const lotus = estimated as LotusMessage;
    const message = Message.fromLotus(lotus);
    const signature = signMessage(secpKey.privateKey, 'SECP256K1', message);
    return { Message: message.toLotus(), Signature: signature.toLotus() };
  };
  return { sign };
}
