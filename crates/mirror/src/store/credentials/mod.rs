//! Credentials that end: where they come from, how long they are kept, and what happens when a store no longer takes them.

mod federation;
mod kept;
mod sign;
mod signer;
mod token;
mod token_service;

pub use federation::{
    AwsFederation, AwsRole, AzureApp, AzureFederation, Federation, GoogleFederation, GooglePool, GoogleTokenServices,
};
pub use token::{TokenError, TokenSource};

pub(crate) use kept::{Fresh, Kept, Source, Version};
pub(crate) use sign::{Sign, exchange};
pub(crate) use signer::{Ends, KeptSigner, Origin};
pub(crate) use token_service::TokenService;
