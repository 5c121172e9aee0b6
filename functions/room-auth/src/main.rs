//! The Lambda function `room-auth`.

api::main!(room_auth::RoomAuth);
