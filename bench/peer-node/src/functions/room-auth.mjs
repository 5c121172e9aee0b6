// POST /api/v1/livekit/room-auth

import { AccessToken } from 'livekit-server-sdk';
import { serve, text } from '../http.mjs';

const { LIVEKIT_API_KEY, LIVEKIT_API_SECRET } = process.env;

serve('/api/v1/livekit/room-auth', async ({ body, caller }) => {
  const token = new AccessToken(LIVEKIT_API_KEY, LIVEKIT_API_SECRET, {
    identity: caller.userId,
    name: text(body, 'username', 128),
    ttl: '10m',
    attributes: caller.organizationId === undefined ? {} : { organizationId: caller.organizationId },
  });
  token.addGrant({ roomJoin: true, room: text(body, 'roomId', 128) });
  return { body: { token: await token.toJwt() } };
}, { isProtected: true });
