// Compiles the front end in strict mode against the types of openapi.yaml: `node compile.mjs <openapi.yaml>`, in a copy of
// this folder. Fails on a type error, and on whatever would hide one: `as`, `!`, `any`, `@ts-…`.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import openapiTypes, { astToString } from "openapi-typescript";
import ts from "typescript";

writeFileSync("api.d.ts", astToString(await openapiTypes(pathToFileURL(process.argv[2]))));

const program = ts.createProgram(["front-end.ts", "run.ts"], {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
});
const problems = ts.getPreEmitDiagnostics(program).map((each) => {
  const { line } = each.file ? ts.getLineAndCharacterOfPosition(each.file, each.start) : { line: 0 };
  return `${each.file?.fileName}:${line + 1}: ${ts.flattenDiagnosticMessageText(each.messageText, "\n")}`;
});

const hiding = [ts.SyntaxKind.AsExpression, ts.SyntaxKind.TypeAssertionExpression, ts.SyntaxKind.NonNullExpression,
  ts.SyntaxKind.AnyKeyword];
const source = program.getSourceFile("front-end.ts");
const visit = (node) => {
  if (hiding.includes(node.kind)) {
    problems.push(`front-end.ts: ${node.getText(source)}: ${ts.SyntaxKind[node.kind]}`);
  }
  ts.forEachChild(node, visit);
};
visit(source);
if (readFileSync("front-end.ts", "utf8").includes("@ts-")) {
  problems.push("front-end.ts: @ts-… hides an error");
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
program.emit();
