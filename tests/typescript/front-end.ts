/** A front end that signs a person in through every step. Its types come from openapi.yaml; it needs no cast. */
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

/** What a person does in a browser. */
export interface Person {
  email: string;
  readCode(): Promise<string>;
  /** Signs in at an identity provider and returns the query of the page that the browser comes back to. */
  visit(url: string): Promise<URLSearchParams>;
  choose(organizations: Schemas["Organization"][]): Promise<string>;
}

/** Signs the person in, and returns the session. */
export async function signIn(baseUrl: string, person: Person, fetch: typeof globalThis.fetch) {
  const api = createClient<paths>({ baseUrl, fetch, credentials: "include" });

  const redeemCode = async () => {
    const code = await person.readCode();
    return api.POST("/auth/finalize-magic-auth", { body: { email: person.email, code } });
  };
  const goTo = async (url: string) => {
    const query = await person.visit(url);
    const body = { code: query.get("code") ?? "", state: query.get("state") };
    return api.POST("/auth/finalize-oauth", { body });
  };
  const select = async (choice: Schemas["Selection"]) => {
    const organizationId = await person.choose(choice.organizations);
    const { pendingAuthenticationToken } = choice;
    return api.POST("/auth/select-organization", { body: { pendingAuthenticationToken, organizationId } });
  };

  /** Takes the next step until there is a session. */
  type Answer = Awaited<ReturnType<typeof redeemCode | typeof goTo | typeof select>>;
  const proceed = async ({ data, error }: Answer): Promise<Schemas["SessionStarted"]> => {
    if (data) {
      return data.status === "signed_in" ? data : proceed(await select(data.user));
    }
    switch (error.reason) {
      case "sso_required":
        return proceed(await goTo(error.authData.redirectURL));
      default:
        throw new Error(error.reason ?? error.message);
    }
  };

  const before = await api.GET("/auth/session");
  if (before.error?.reason !== "not_signed_in") {
    throw new Error(`signed in already: ${before.data?.user.email}`);
  }
  const started = await api.POST("/auth/sign-in", { body: { email: person.email } });
  if (started.error) {
    throw new Error(started.error.reason ?? started.error.message);
  }
  const { authData } = started.data;
  const { user, organization } = await proceed(
    authData.authMethod === "sso" ? await goTo(authData.redirectURL) : await redeemCode(),
  );

  // Visits another organization, and comes back.
  const { data: list } = await api.GET("/auth/organizations");
  for (const { id } of list?.organizations.filter(({ current }) => !current) ?? []) {
    for (const organizationId of [id, organization?.id ?? id]) {
      const { data, error } = await api.POST("/auth/switch-organization", { body: { organizationId } });
      console.error(data?.status ?? error?.reason);
    }
  }

  const after = await api.GET("/auth/session");
  const requestId: string | null = after.response.headers.get("X-Request-Id");
  if (!after.data) {
    throw new Error(`${after.error.reason} in ${requestId}`);
  }
  return { ...after.data, name: user.firstName ?? user.email };
}
