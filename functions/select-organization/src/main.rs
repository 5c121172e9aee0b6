//! The Lambda function `select-organization`.

api::main!(select_organization::SelectOrganization);
