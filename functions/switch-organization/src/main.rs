//! The Lambda function `switch-organization`.

api::main!(switch_organization::SwitchOrganization);
