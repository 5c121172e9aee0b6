/** A front end that signs a person in through every step. Its types come from openapi.yaml; it needs no cast. */
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

/** What a person does in a browser. */
export interface Person {
  email: string;
  usesGoogle: boolean;
  readCode(): Promise<string>;
  /** Reads the code of the authenticator app, after typing the secret of a new one. */
  readAppCode(secret: string | null): Promise<string>;
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
    return api.POST("/auth/finalize-oauth", { body: { code: query.get("code") ?? "", state: query.get("state") } });
  };
  const select = async (choice: Schemas["Selection"]) => {
    const organizationId = await person.choose(choice.organizations);
    const { pendingAuthenticationToken } = choice;
    return api.POST("/auth/select-organization", { body: { pendingAuthenticationToken, organizationId } });
  };

  const verifyEmail = async (pendingAuthenticationToken: string) => {
    const code = await person.readCode();
    return api.POST("/auth/verify-email", { body: { pendingAuthenticationToken, code } });
  };
  const verifyApp = async (pendingAuthenticationToken: string, isNew: boolean) => {
    const body = { pendingAuthenticationToken };
    const step = isNew ? await api.POST("/auth/enroll-mfa", { body }) : await api.POST("/auth/challenge-mfa", { body });
    if (step.error) {
      throw new Error(step.error.reason ?? step.error.message);
    }
    const code = await person.readAppCode("secret" in step.data ? step.data.secret : null);
    const { challengeId } = step.data;
    return api.POST("/auth/verify-mfa", { body: { pendingAuthenticationToken, challengeId, code } });
  };

  /** Takes the next step until there is a session. */
  type Step = typeof redeemCode | typeof goTo | typeof select | typeof verifyEmail | typeof verifyApp;
  type Answer = Awaited<ReturnType<Step>>;
  const proceed = async ({ data, error }: Answer): Promise<Schemas["SessionStarted"]> => {
    if (data) {
      return data.status === "signed_in" ? data : proceed(await select(data.user));
    }
    switch (error.reason) {
      case "sso_required":
        return proceed(await goTo(error.authData.redirectURL));
      case "email_verification_required":
        return proceed(await verifyEmail(error.pendingAuthenticationToken));
      case "mfa_enrollment":
      case "mfa_challenge":
        return proceed(await verifyApp(error.pendingAuthenticationToken, error.next === "enroll_mfa"));
      default:
        throw new Error(error.reason ?? error.message);
    }
  };

  const started = person.usesGoogle
    ? await api.POST("/auth/continue-with-google", { body: {} })
    : await api.POST("/auth/sign-in", { body: { email: person.email } });
  if (started.error) {
    throw new Error(started.error.reason ?? started.error.message);
  }
  const { authData } = started.data;
  return proceed("redirectURL" in authData ? await goTo(authData.redirectURL) : await redeemCode());
}
