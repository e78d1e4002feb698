//! The simulated members and their Clusters on the hub.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use serde_json::json;
use skyfleet_api::Cluster;
use skyfleet_api::conditions::{ConditionType, find};
use skyfleet_bench::member::{Authority, Behaviour, Observer, SimulatedMember, TOKEN};

use crate::error::BenchError;
use crate::hub::{Hub, NAMESPACE, named};
use crate::wait::until;

/// Members of one region, among which the replicas of a ModelDeployment are shared out.
pub(crate) const REGION_SIZE: usize = 4;
/// Objects that are created at once.
const AT_ONCE: usize = 16;
/// For a whole fleet to be probed on a loaded machine.
const LIMIT: Duration = Duration::from_mins(5);

/// The members.
pub(crate) struct Fleet {
    members: Vec<SimulatedMember>,
    silent: BTreeSet<usize>,
}

/// The name of a member and of its Cluster.
pub(crate) fn member_name(number: usize) -> String {
    format!("member-{number:03}")
}

/// The region of a member.
pub(crate) fn region(number: usize) -> String {
    format!("region-{:03}", number / REGION_SIZE)
}

impl Fleet {
    /// Starts the members and makes a Cluster of each.
    pub(crate) async fn start(
        hub: &Hub,
        count: usize,
        behaviour: &Behaviour,
        observer: &Observer,
    ) -> Result<Self, BenchError> {
        let authority = Authority::new().map_err(BenchError::io("make certificates"))?;
        let mut members = Vec::new();
        for number in 0..count {
            let name = member_name(number);
            let member = SimulatedMember::start(&name, &authority, behaviour.clone(), observer.clone()).await;
            members.push(member.map_err(BenchError::io(format!("start {name}")))?);
        }
        let join = |(number, member): (usize, &SimulatedMember)| {
            let (address, authority) = (member.address(), &authority);
            async move { join(hub, number, &address, authority).await }
        };
        let joins: Vec<_> = members.iter().enumerate().map(join).collect();
        futures::stream::iter(joins).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(Self { members, silent: BTreeSet::new() })
    }

    /// Waits until the hub has every member Ready.
    pub(crate) async fn until_ready(&self, hub: &Hub) -> Result<(), BenchError> {
        self.until(hub, "every Cluster to be Ready", ConditionType::Ready, "True", self.members.len()).await
    }

    /// Waits until the hub has noticed every black hole.
    pub(crate) async fn until_lost(&self, hub: &Hub) -> Result<(), BenchError> {
        self.until(hub, "the black holes to be noticed", ConditionType::Reachable, "False", self.silent.len()).await
    }

    /// Makes members black holes, in as many regions as there are, and gives their names.
    pub(crate) fn make_black_holes(&mut self, count: usize, random: &mut fastrand::Rng) -> BTreeSet<String> {
        let mut regions: Vec<Vec<usize>> =
            (0..self.members.len()).collect::<Vec<_>>().chunks(REGION_SIZE).map(<[usize]>::to_vec).collect();
        random.shuffle(&mut regions);
        for region in &mut regions {
            random.shuffle(region);
        }
        let by_turns = (0..REGION_SIZE).flat_map(|turn| regions.iter().filter_map(move |region| region.get(turn)));
        self.silent = by_turns.take(count).copied().collect();
        for number in &self.silent {
            self.members[*number].set_black_hole(true);
        }
        self.silent.iter().map(|number| member_name(*number)).collect()
    }

    async fn until(
        &self,
        hub: &Hub,
        what: &'static str,
        condition: ConditionType,
        status: &str,
        count: usize,
    ) -> Result<(), BenchError> {
        let api = Api::<Cluster>::all(hub.client.clone());
        until(what, LIMIT, Duration::from_millis(500), async || {
            let clusters = api.list(&ListParams::default()).await.map_err(BenchError::hub("list the Clusters"))?;
            let is_so = |cluster: &&Cluster| {
                let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
                find(conditions, condition).is_some_and(|condition| condition.status == status)
            };
            let found = clusters.iter().filter(is_so).count();
            Ok(if found >= count { Ok(()) } else { Err(format!("{found} of {count}")) })
        })
        .await
    }
}

async fn join(hub: &Hub, number: usize, address: &str, authority: &Authority) -> Result<(), BenchError> {
    let name = member_name(number);
    let secret = json!({"metadata": named(&name), "stringData": {"token": TOKEN}});
    hub.create(Api::<Secret>::namespaced(hub.client.clone(), NAMESPACE), secret).await?;
    let provider = ["aws", "azure", "gcp"][number % 3];
    let cluster = json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": named(&name),
        "spec": {
            "provider": provider, "region": region(number),
            "connection": {
                "server": address, "caBundle": ByteString(authority.pem().as_bytes().to_vec()),
                "credentialsSecretRef": {"name": name},
            },
        },
    });
    hub.create(Api::<Cluster>::all(hub.client.clone()), cluster).await
}
