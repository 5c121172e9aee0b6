// People in rooms of a LiveKit server, over LiveKit's own client. Reads commands as JSON lines from standard input:
// `{"do": "join", "as", "url", "token"}`, `{"do": "look", "as"}`. Prints JSON lines: `joined` or `refused` after a join,
// `in` after a look, `left` with LiveKit's reason when a connection ends, and `renewed` when LiveKit sends a new token.
// Exits when its standard input closes, so that it never outlives the test that started it.

import { createInterface } from 'node:readline';
import { DisconnectReason, Room, RoomEvent } from '@livekit/rtc-node';

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const rooms = new Map();

async function join({ as, url, token }) {
  const room = new Room();
  room.on(RoomEvent.Disconnected, (reason) => print({ is: 'left', as, reason: DisconnectReason[reason] }));
  room.on(RoomEvent.TokenRefreshed, () => print({ is: 'renewed', as, token: room.token }));
  try {
    await room.connect(url, token, { autoSubscribe: true, dynacast: false });
  } catch (error) {
    print({ is: 'refused', as, error: String(error) });
    return;
  }
  rooms.set(as, room);
  const { sid, identity, name, attributes } = room.localParticipant;
  print({ is: 'joined', as, sid, identity, name, attributes });
}

function look({ as }) {
  const room = rooms.get(as);
  const others = [...room.remoteParticipants.values()];
  print({ is: 'in', as, connected: room.isConnected, others: others.map((other) => other.identity).sort() });
}

const commands = { join, look };
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on('close', () => process.exit(0));
