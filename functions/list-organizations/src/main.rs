//! The Lambda function `list-organizations`.

api::main!(list_organizations::ListOrganizations);
