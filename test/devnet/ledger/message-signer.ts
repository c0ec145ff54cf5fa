import { Message } from 'iso-filecoin/message';
import { signMessage } from 'iso-filecoin/wallet';

import { secpKey } from './chain-fixture.ts';

/** A SignedMessage as MpoolPush takes it, by iso-filecoin alone: our CIDs and signatures are checked from outside. */
export function signLotusMessage(estimated: Parameters<typeof Message.fromLotus>[0]) {
  const message = Message.fromLotus(estimated);
  const signature = signMessage(secpKey.privateKey, 'SECP256K1', message);
  return { Message: message.toLotus(), Signature: signature.toLotus() };
}
