// `node build.mjs <folder>` bundles each function into one executable file, `<folder>/<name>/bootstrap`, as in a zip for
// Lambda.
//
// Minified CommonJS starts fastest on Node.js. The shebang has the path of this Node.js, because a function has Lambda's
// PATH.

import { chmod, readdir, rm } from 'node:fs/promises';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const out = process.argv[2];
if (out === undefined) throw new Error('usage: node build.mjs <folder>');
const functions = (await readdir(`${here}src/functions`)).map((file) => file.replace(/\.mjs$/, ''));

await rm(out, { recursive: true, force: true });
for (const name of functions) {
  const outfile = `${out}/${name}/bootstrap`;
  await build({
    entryPoints: [`${here}src/functions/${name}.mjs`],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    target: `node${process.versions.node}`,
    format: 'cjs',
    mainFields: ['module', 'main'],
    banner: { js: `#!${process.execPath}` },
    legalComments: 'none',
    logLevel: 'warning',
  });
  await chmod(outfile, 0o755);
}
