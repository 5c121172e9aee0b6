/** Runs the front end: asks the test, line by line, for what a person would do. */
import { createInterface } from "node:readline";
import createClient from "openapi-fetch";
import type { paths } from "./api.js";
import { signIn } from "./front-end.js";

const [baseUrl = "", email = "", start] = process.argv.slice(2);
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

const { organization } = await signIn(
  baseUrl,
  {
    email,
    usesGoogle: start === "google",
    readCode: () => ask("code"),
    visit: async (url) => new URLSearchParams(await ask(`visit ${url}`)),
    readAppCode: (secret) => ask(`app ${secret ?? ""}`),
    choose: (organizations) => ask(`choose ${organizations.map(({ name }) => name).join(", ")}`),
  },
  browse,
);

// Visits every other organization, and comes back.
const api = createClient<paths>({ baseUrl, fetch: browse });
const { data: list } = await api.GET("/auth/organizations");
for (const { id } of list?.organizations.filter(({ current }) => !current) ?? []) {
  for (const organizationId of [id, organization?.id ?? id]) {
    await api.POST("/auth/switch-organization", { body: { organizationId } });
  }
}
const { data: session, error, response } = await api.GET("/auth/session");
if (error) {
  throw new Error(`${error.reason} in ${response.headers.get("X-Request-Id")}`);
}
console.log(`session ${JSON.stringify(session)}`);
process.exit();
