/** Runs the front end: asks the test, line by line, for what a person would do. */
import { createInterface } from "node:readline";
import { signIn } from "./front-end.js";

const [baseUrl = "", email = ""] = process.argv.slice(2);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(question: string): Promise<string> {
  console.log(question);
  return (await answers.next()).value ?? "";
}

/** Keeps cookies, as a browser does. */
const jar = new Map<string, string>();
const browse: typeof fetch = async (input, init) => {
  const request = new Request(input, init);
  request.headers.set("cookie", [...jar].map((pair) => pair.join("=")).join("; "));
  const response = await fetch(request);
  for (const cookie of response.headers.getSetCookie()) {
    const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
    value ? jar.set(name, value) : jar.delete(name);
  }
  return response;
};

const session = await signIn(
  baseUrl,
  {
    email,
    readCode: () => ask("code"),
    visit: async (url) => new URLSearchParams(await ask(`visit ${url}`)),
    choose: (organizations) => ask(`choose ${organizations.map(({ name }) => name).join(", ")}`),
  },
  browse,
);
console.log(`session ${JSON.stringify(session)}`);
process.exit();
