// Runs the WorkOS emulator (npm `workos`) on a free port. Prints JSON lines: `{"url"}` once it listens, then `{"to",
// "code"}` for every Magic Auth code, since the emulator neither mails nor lists codes, and `{"webhook", "status"}` for
// every webhook. Exits when its standard input closes, so that it never outlives the test that started it.

import { createEmulator } from 'workos/emulate';

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const { Collection } = await import(new URL('core/store.js', import.meta.resolve('workos/emulate')));
const insert = Collection.prototype.insert;
Collection.prototype.insert = function (data) {
  const item = insert.call(this, data);
  if (item.object === 'magic_auth') print({ to: item.email, code: item.code });
  return item;
};

// Prints the response to each webhook, which the emulator does not look at.
const send = globalThis.fetch;
globalThis.fetch = async (url, init) => {
  const response = await send(url, init);
  if (init?.headers?.['WorkOS-Signature']) print({ webhook: JSON.parse(init.body).event, status: response.status });
  return response;
};

const emulator = await createEmulator({ port: 0, seed: JSON.parse(process.env.EMULATOR_SEED ?? '{}') });
print({ url: emulator.url });

process.stdin.resume().on('end', () => process.exit(0));
