//! The API document's responses of a completed sign-in, for the endpoints that end in one.

/// A session has started.
pub const PERSON: &str = r#"{
    "status": "signed_in",
    "user": {
        "id": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B",
        "email": "johndoe@abc.com",
        "firstName": "John",
        "lastName": "Doe",
        "avatarURL": "https://example.com/avatar.png"
    },
    "organization": { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS" }
}"#;

/// The person has several organizations and must choose one.
pub const ORGANIZATIONS: &str = r#"{
    "status": "choose_organization",
    "user": {
        "id": "user_01JY16X8FCYMX981HC4GYQ6S01",
        "email": "123@gmail.com",
        "pendingAuthenticationToken": "uMc1tPo4wDjpsnb2mEZlOv8KD",
        "organizations": [
            { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS" },
            { "id": "org_01K3BK4YS5SDH22RV4P9QYJR7Z", "name": "TAUNTA SCRE" }
        ]
    }
}"#;

/// A session has started, and the sign-in said where the front end continues.
pub const RETURNING: &str = r#"{
    "status": "signed_in",
    "user": {
        "id": "user_01HCNYK4PEV6Y1EDZ8EAZG1A1B",
        "email": "johndoe@abc.com",
        "firstName": "John",
        "lastName": "Doe",
        "avatarURL": "https://example.com/avatar.png"
    },
    "organization": { "id": "org_01K2Z1R2MEJK6B41WW7428G9YC", "name": "MASADAS" },
    "returnTo": "/rooms"
}"#;

/// Both.
pub const SIGN_IN: &[(&str, &str)] =
    &[("single_organization", PERSON), ("multiple_organizations", ORGANIZATIONS)];

/// Of a sign-in through the browser.
pub const OAUTH: &[(&str, &str)] =
    &[("single_organization", RETURNING), ("multiple_organizations", ORGANIZATIONS)];
