//! The operator: watches the hub and makes the fleet as the custom resources say. Of all replicas one works at a time.

mod args;
mod books;
mod bucket;
mod cluster;
mod context;
mod controller;
mod dataset_replica;
mod election;
mod error;
mod events;
mod fleet;
mod gateway_reports;
mod http;
mod lineage;
mod member_objects;
mod metrics;
mod model_deployment;
mod model_route;
mod own_writes;
mod release;
mod report;
mod streams;

pub(crate) use args::{LogFormat, OperatorArgs};
pub(crate) use dataset_replica::{Connected, Task, TaskError};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join3, join5};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config, ResourceExt};
use skyfleet_mirror::HandOver;
use skyfleet_plan::workload::Loader;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use books::Books;
use bucket::Identities;
use context::Context;
use controller::{run, triggers};
use dataset_replica::{JobLimits, Passes};
use election::Election;
use fleet::{Fleet, Triggers};
use gateway_reports::{Concerned, GatewayReports};
use metrics::Metrics;
use own_writes::OwnWrites;
use streams::Streams;

/// Changes in members that wait to be looked at; a member that changes faster waits.
const TRIGGERS: usize = 1024;
/// How long the work in hand may take to end when the operator stops.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error(
        "cannot connect to the hub: {0}. Inside a cluster the pod needs its ServiceAccount; outside, KUBECONFIG must name one"
    )]
    Hub(String),
    #[error("cannot read the namespace kube-system, whose UID tells hubs apart: {0}")]
    Identity(kube::Error),
    #[error("cannot serve {0}: {1}. Is another program using the address?")]
    Listen(std::net::SocketAddr, std::io::Error),
    #[error("cannot take part in the leader election: {0}")]
    Election(#[from] kube_lease_manager::LeaseManagerError),
    #[error("another operator took the lease over; this one ends, to be started anew as a stand-by")]
    LeadershipLost,
    #[error("cannot tell of lineage: {0}")]
    Lineage(String),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot read what was decided before: {0}")]
    Books(error::ReconcileError),
    #[error("the custom resources cannot be served: {0}. Is the chart skyfleet-crds installed?")]
    Definitions(kube::Error),
}

/// Runs until a signal or the loss of leadership.
///
/// # Errors
/// See [`OperatorError`].
pub(crate) async fn operate(args: OperatorArgs) -> Result<(), OperatorError> {
    let stop = CancellationToken::new();
    let metrics = Metrics::new();
    let leader = http::Leader::default();
    let own = (metrics.clone(), leader.clone());
    let mut server = tokio::spawn(http::serve(args.listen, args.notifications_listen, own, stop.clone()));
    let hub = connect().await?;
    let mut election = Election::stand(hub.clone(), &args).await?;
    tracing::info!(identity = args.identity, "standing by");
    let mut signals = Signals::new()?;
    tokio::select! {
        () = election.won() => {}
        () = signals.received() => {
            stop.cancel();
            election.resign().await;
            return Ok(());
        }
        ended = &mut server => return Err(not_served(args.listen, ended)),
    }
    tracing::info!("leading");
    metrics.leads(true);
    let mut work = std::pin::pin!(work(&args, hub, metrics.clone(), leader, stop.clone()));
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        // Without the lease another may be working already: nothing is finished in an orderly way, it just ends.
        () = election.lost() => return Err(OperatorError::LeadershipLost),
        ended = &mut server => Err(not_served(args.listen, ended)),
        () = signals.received() => {
            tracing::info!("stopping: finishing the work in hand");
            stop.cancel();
            timeout(STOP_LIMIT, work).await.unwrap_or(Ok(()))
        }
    };
    metrics.leads(false);
    election.resign().await;
    outcome
}

fn not_served(
    listen: std::net::SocketAddr,
    served: Result<Result<(), http::NotServed>, tokio::task::JoinError>,
) -> OperatorError {
    let http::NotServed(address, error) = match served {
        Ok(Err(not_served)) => not_served,
        Ok(Ok(())) => http::NotServed(listen, std::io::Error::other("the server ended")),
        Err(error) => http::NotServed(listen, std::io::Error::other(error)),
    };
    OperatorError::Listen(address, error)
}

/// A client of the hub.
///
/// # Errors
/// Nothing says where it is.
pub(crate) async fn connect() -> Result<Client, OperatorError> {
    let failed = |error: &dyn std::fmt::Display| OperatorError::Hub(error.to_string());
    let mut config = Config::infer().await.map_err(|error| failed(&error))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(10));
    Client::try_from(config).map_err(|error| failed(&error))
}

async fn work(
    args: &OperatorArgs,
    hub: Client,
    metrics: Metrics,
    leader: http::Leader,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    check_definitions(&hub).await?;
    let kube_system =
        Api::<Namespace>::all(hub.clone()).get_metadata("kube-system").await.map_err(OperatorError::Identity)?;
    let hub_id = kube_system.uid().unwrap_or_default();
    let (cluster_triggers, changed_members) = mpsc::channel(TRIGGERS);
    let (model_triggers, models) = mpsc::channel(TRIGGERS);
    let (pass_ends, ended_passes) = mpsc::channel(TRIGGERS);
    let streams = Arc::new(Streams::new(pass_ends.clone(), args.notifications_listen.is_some(), metrics.clone()));
    let reporter = Reporter { controller: "skyfleet-operator".to_owned(), instance: args.identity.clone() };
    let members = Triggers { clusters: cluster_triggers, models: model_triggers.clone() };
    let (model_controller, clusters) = model_deployment::controller(&hub, triggers(models));
    let (events, event_writer) = events::events(Recorder::new(hub.clone(), reporter));
    let api_key = std::env::var("OPENLINEAGE_API_KEY").ok().filter(|key| !key.is_empty());
    let (lineage, sending) = lineage::start(args.openlineage_url.clone(), api_key.as_deref(), metrics.clone())
        .map_err(OperatorError::Lineage)?;
    let context = Arc::new(Context {
        fleet: Fleet::new(hub_id.clone(), members, metrics.clone()),
        hub_id,
        clusters,
        models: model_controller.store(),
        own_writes: OwnWrites::default(),
        gateway_reports: GatewayReports::default(),
        books: Books::open(&hub).await.map_err(OperatorError::Books)?,
        max_lost_share: f64::from(args.max_lost_percent) / 100.0,
        namespace: args.namespace.clone(),
        identities: Identities::new(hub.clone(), args.own_identity),
        jobs: JobLimits {
            in_operator: HandOver { objects: args.jobs_above_objects, bytes: args.jobs_above_bytes },
            patience: Duration::from_secs(args.job_patience),
        },
        loader: Loader { image: args.image.clone(), image_pull_policy: args.image_pull_policy.clone() },
        events,
        hub: hub.clone(),
        lineage,
        streams: streams.clone(),
        metrics,
    });
    // Nobody else can have set it: one process leads once.
    let _ = leader.set(context.clone());
    let passes = Arc::new(Passes::new(args.mirror_passes, pass_ends));
    let dataset_controller = dataset_replica::controller(&hub, triggers(ended_passes));
    let forget = forget_deleted(dataset_controller.store(), &context, (passes.clone(), streams.clone()), stop.clone());
    let for_datasets = dataset_replica::Shared { passes: passes.clone(), replicas: dataset_controller.store() };
    let (route_triggers, told_routes) = mpsc::channel(TRIGGERS);
    let (route_controller, routes) = model_route::controller(&hub, triggers(told_routes));
    let concerned = Concerned { routes: routes.clone(), route_triggers, model_triggers };
    let gateways = gateway_reports::follow(&context, concerned, stop.clone());
    let routing = run(
        route_controller,
        move |route, context, turn| model_route::reconcile(route, context, turn, routes.clone()),
        context.clone(),
        args.concurrency,
        stop.clone(),
    );
    let controllers = join5(
        run(
            cluster::controller(&hub, &args.namespace, triggers(changed_members)),
            cluster::reconcile,
            context.clone(),
            args.concurrency,
            stop.clone(),
        ),
        run(bucket::controller(&hub), bucket::reconcile, context.clone(), args.concurrency, stop.clone()),
        run(
            dataset_controller,
            move |replica, context, turn| dataset_replica::reconcile(replica, context, turn, for_datasets.clone()),
            context.clone(),
            args.concurrency,
            stop.clone(),
        ),
        run(model_controller, model_deployment::reconcile, context.clone(), args.concurrency, stop.clone()),
        join3(routing, forget, Box::pin(gateways)),
    );
    event_writer.write_during(Box::pin(controllers.map(drop))).await;
    streams.stop();
    passes.stop().await;
    sending.end().await;
    Ok(())
}

/// Without the definitions every watch would fail for ever with words that help nobody.
async fn check_definitions(hub: &Client) -> Result<(), OperatorError> {
    let limit = kube::api::ListParams::default().limit(1);
    Api::<skyfleet_api::Cluster>::all(hub.clone()).list_metadata(&limit).await.map_err(OperatorError::Definitions)?;
    Ok(())
}

/// Stops the passes and streams of DatasetReplicas that were deleted, since a deleted object comes to no reconcile, and removes Jobs that
/// nobody follows.
async fn forget_deleted(
    replicas: kube::runtime::reflector::Store<kube::core::DeserializeGuard<skyfleet_api::DatasetReplica>>,
    context: &Context,
    (passes, streams): (Arc<Passes>, Arc<Streams>),
    stop: CancellationToken,
) {
    if replicas.wait_until_ready().await.is_err() {
        return;
    }
    while stop.run_until_cancelled(sleep(Duration::from_secs(5))).await.is_some() {
        let alive: BTreeSet<_> = replicas.state().iter().filter_map(|replica| replica.uid()).collect();
        passes.retain(&alive);
        streams.retain(&alive);
        // A member that does not answer may hold it up.
        stop.run_until_cancelled(dataset_replica::sweep(context, &passes, |uid| alive.contains(uid))).await;
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, OperatorError> {
        let listen = |kind| signal(kind).map_err(OperatorError::Signals);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
