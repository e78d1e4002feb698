//! Which requests go to the same replica.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules::token;

/// Which requests go to the same replica.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.header), has(self.cookie), has(self.clientAddress) && self.clientAddress, has(self.promptPrefix)].exists_one(given, given)")
    .message("give exactly one of header, cookie, clientAddress and promptPrefix"))]
pub struct Affinity {
    /// Those with the same value of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// Those with the same cookie, which the gateway sets where a request has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// Those from the same address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_address: bool,
    /// Those whose prompts begin alike: the replica has that part in its prefix cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_prefix: Option<PromptPrefix>,
    /// The most requests in flight that a replica may have, in percent of the mean over all: one that has as many does not get more by
    /// affinity, the next one does.
    #[serde(default = "bound")]
    #[schemars(range(min = 101, max = 1000))]
    pub bound_percent: i32,
}

fn bound() -> i32 {
    125
}

/// A header of requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Its name; upper and lower case are the same.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = token())]
    pub name: String,
}

/// A cookie.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Cookie {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = token())]
    pub name: String,
    /// Seconds that clients keep it; until they end if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_seconds: Option<i32>,
}

/// The beginning of a prompt.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PromptPrefix {
    /// Its length in bytes. About four are a token of English text.
    #[serde(default = "prefix_bytes")]
    #[schemars(range(min = 64, max = 65_536))]
    pub bytes: i32,
}

fn prefix_bytes() -> i32 {
    1024
}
