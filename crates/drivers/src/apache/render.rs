//! The managed file: pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::members::Kept;
use super::names;
use super::routing;
use super::settings::Settings;
use super::wanted::{Pool, Server, Wanted};

/// What comes before the route of each balancer.
const ROUTE: &str = "# balancer ";
/// What the balancer without members is called whose name tells by which file the server runs.
pub(super) const RUNNING: &str = "skyfleet-running-";

/// Which file the server runs by: all but the members of the balancers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// How often the file was made anew because somebody had changed it.
    pub revision: u32,
    pub digest: String,
}

impl Marker {
    /// By the name of its balancer.
    pub fn parse(balancer: &str) -> Option<Self> {
        let (revision, digest) = balancer.strip_prefix(RUNNING)?.split_once('-')?;
        Some(Self { revision: revision.parse().ok()?, digest: digest.to_owned() })
    }

    fn name(&self) -> String {
        format!("{RUNNING}{}-{}", self.revision, self.digest)
    }
}

/// The file, and what it is known by.
pub(super) fn file(
    settings: &Settings,
    wanted: &Wanted,
    members: &BTreeMap<String, Kept>,
    revision: u32,
) -> (String, Marker) {
    let mut digested = head(wanted);
    let mut balancers = String::new();
    for pool in &wanted.pools {
        let kept = members.get(&pool.name).cloned().unwrap_or_default();
        let parts = Parts::of(pool, &kept);
        let _ = write!(digested, "{}{}{}", parts.before, kept.slots, parts.after);
        let _ = write!(balancers, "{}{}{}", parts.before, parts.members, parts.after);
    }
    let rest = tail(settings, wanted);
    digested.push_str(&rest);
    let marker = Marker { revision, digest: names::digest(&digested) };
    let running = format!("<Proxy \"balancer://{}\">\n  ProxySet growth=1\n</Proxy>\n", marker.name());
    (format!("{}{running}{balancers}{rest}", head(wanted)), marker)
}

/// The revision that a file says it is.
pub(super) fn revision(text: &str) -> Option<u32> {
    let rest = text.split_once("balancer://skyfleet-running-")?.1;
    rest.split_once('-')?.0.parse().ok()
}

/// The file without the members, as far as what is changed while the server runs goes.
pub(super) fn without_members(text: &str) -> Vec<&str> {
    let is_member = |line: &str| line.starts_with("  BalancerMember ") || line.starts_with("  ProxySet growth=");
    text.lines().filter(|line| !is_member(line)).collect()
}

/// The routes of balancers, by the names of these.
pub(super) fn routes(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(ROUTE)?.split_once(" of "));
    lines.map(|(balancer, route)| (balancer.to_owned(), route.to_owned())).collect()
}

fn head(wanted: &Wanted) -> String {
    // A file is renewed with each change, also where nothing is lost but the power. What Apache itself would keep is what it had at its last stop,
    // and it would come before that.
    format!(
        "# Written by Skyfleet: what is changed here by hand is undone.\n\
         BalancerPersist Off\n\
         AllowEncodedSlashes NoDecode\n\
         ProxyTimeout {}\n",
        wanted.timeout.div_ceil(1000)
    )
}

fn tail(settings: &Settings, wanted: &Wanted) -> String {
    format!(
        "<Location \"{}\">\n  SetHandler balancer-manager\n  <RequireAll>\n    Require local\n    \
         Require expr \"-z req('X-Forwarded-For') && -z req('Forwarded')\"\n  </RequireAll>\n</Location>\n{}",
        settings.manager_path,
        routing::text(&wanted.taken, &settings.manager_path, &settings.closing_file())
    )
}

struct Parts {
    before: String,
    members: String,
    after: String,
}

impl Parts {
    fn of(pool: &Pool, kept: &Kept) -> Self {
        let mut members = String::new();
        let written: Vec<_> = kept.members.iter().filter(|(member, _)| member.is_plain()).collect();
        for (member, server) in &written {
            let parameters = parameters(pool, server.as_ref());
            let _ = writeln!(members, "  BalancerMember \"{}\" {parameters}", member.url);
        }
        let free = kept.slots.saturating_sub(written.len()).max(1);
        let _ = writeln!(members, "  ProxySet growth={free}");
        let balancer = &pool.balancer;
        let mut after = format!("  ProxySet lbmethod={} maxattempts={}", balancer.method, balancer.attempts);
        if let Some(cookie) = &balancer.cookie {
            let _ = write!(after, " stickysession={cookie}");
        }
        after.push('\n');
        for directive in &pool.section {
            let _ = writeln!(after, "  {directive}");
        }
        after.push_str("</Proxy>\n");
        // What members have from the file counts as much as what their balancer has.
        let before = format!(
            "{ROUTE}{} of {}\n# {} {}{}\n<Proxy \"balancer://{}\">\n",
            pool.name,
            pool.route,
            pool.scheme,
            pool.member,
            health(pool),
            pool.name
        );
        Self { before, members, after }
    }
}

fn parameters(pool: &Pool, server: Option<&Server>) -> String {
    let Some(server) = server else { return format!("status=+D {}", pool.member) };
    let mut parameters = format!("loadfactor={} lbset={} {}{}", server.weight, server.set, pool.member, health(pool));
    if !server.route.is_empty() {
        let _ = write!(parameters, " route={}", server.route);
    }
    parameters
}

fn health(pool: &Pool) -> String {
    let Some(health) = &pool.health else { return String::new() };
    let asks = health.path.as_ref().map_or_else(|| "TCP".to_owned(), |path| format!("GET hcuri={path}"));
    format!(" hcmethod={asks} hcinterval={}ms hcpasses={} hcfails={}", health.interval, health.rise, health.fall)
}
