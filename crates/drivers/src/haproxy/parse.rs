//! What HAProxy says: pure.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use super::actual::{Admin, Figures, Running};
use super::map::Entry;
use super::names::{place, route};
use super::wanted::Asked;

/// Servers by backend, of all backends that are ours.
pub(super) type Servers = BTreeMap<String, BTreeMap<String, Running>>;

/// Bits of a server's administrative state.
const DRAINS: u32 = 0x08;
const IS_NOT_READY: u32 = 0x01 | 0x04 | 0x08;
/// A bit of a check's state.
const IS_ENABLED: u32 = 0x04;

/// Of `show backend`: ours, and the structure.
pub(super) fn backends(said: &str) -> (Servers, Option<String>) {
    let ours = said.lines().filter(|name| route(name).is_some());
    let structure = said.lines().find_map(super::render::marked);
    (ours.map(|name| (name.to_owned(), BTreeMap::new())).collect(), structure.map(str::to_owned))
}

/// Of `show servers state` and `show stat`, both of which have a part of it, to the backends. What is wrong is told.
pub(super) fn servers(state: &str, stat: &str, backends: &mut Servers) -> Result<(), String> {
    let state = table(state.lines().skip(1), ' ')?;
    let stat = table(stat.lines(), ',')?;
    let stat: HashMap<_, _> = stat.iter().map(|row| ((row.get("pxname"), row.get("svname")), row)).collect();
    for row in &state {
        let (backend, name) = (row.text("be_name")?, row.text("srv_name")?);
        // What is no place is there to have files read.
        if let (Some(servers), Some(_)) = (backends.get_mut(backend), place(name)) {
            let stat =
                stat.get(&(Some(backend), Some(name))).ok_or_else(|| format!("no figures of {backend}/{name}"))?;
            servers.insert(name.to_owned(), running(row, stat)?);
        }
    }
    Ok(())
}

fn running(state: &Row<'_>, stat: &Row<'_>) -> Result<Running, String> {
    let admin: u32 = state.number("srv_admin_state")?;
    Ok(Running {
        number: state.number("srv_id")?,
        address: state.text("srv_addr")?.parse().ok(),
        port: state.number("srv_port")?,
        first_weight: state.number("srv_iweight")?,
        weight: state.number("srv_uweight")?,
        is_backup: stat.or_none::<u32>("bck")? > 0,
        most_in_flight: stat.or_none("slim")?,
        admin: match admin {
            _ if admin & IS_NOT_READY == 0 => Admin::Ready,
            _ if admin & IS_NOT_READY == DRAINS => Admin::Drain,
            _ => Admin::Maintenance,
        },
        is_up: state.number::<u32>("srv_op_state")? > 0,
        asked: Asked {
            health: state.number::<u32>("srv_check_state")? & IS_ENABLED > 0,
            agent: state.number::<u32>("srv_agent_state")? & IS_ENABLED > 0,
        },
        speaks_tls: state.number::<u32>("srv_use_ssl")? > 0,
        in_flight: stat.or_none::<u32>("scur")?.saturating_add(stat.or_none("qcur")?),
        figures: Figures {
            response_milliseconds: stat.or_none("rtime")?,
            requests: stat.or_none("stot")?,
            failures: stat.or_none::<u64>("econ")? + stat.or_none::<u64>("eresp")? + stat.or_none::<u64>("hrsp_5xx")?,
        },
    })
}

/// Of `show map FILE`: in their order, without the marks before them.
pub(super) fn entries(said: &str) -> Result<Vec<Entry>, String> {
    let entry = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (Some(pattern), Some(backend), None) = (words.next(), words.next(), words.next()) else {
            return Err(format!("{line:?} in a map"));
        };
        Ok(Entry { pattern: pattern.to_owned(), backend: backend.to_owned() })
    };
    said.lines().filter(|line| !line.is_empty()).map(entry).collect()
}

/// Of `show info`: the number of the process.
pub(super) fn pid(said: &str) -> Option<u32> {
    said.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()
}

/// Of `show proc`: reloads that failed.
pub(super) fn reloads(said: &str) -> Option<u32> {
    let master = said.lines().find(|line| line.split_whitespace().nth(1) == Some("master"))?;
    master.split_once("[failed: ")?.1.split_once(']')?.0.parse().ok()
}

/// A line with the names of its columns.
struct Row<'a>(HashMap<&'a str, &'a str>);

impl<'a> Row<'a> {
    fn get(&self, column: &str) -> Option<&'a str> {
        self.0.get(column).copied()
    }

    fn text(&self, column: &str) -> Result<&'a str, String> {
        self.get(column).ok_or_else(|| format!("no column {column}"))
    }

    fn number<N: FromStr>(&self, column: &str) -> Result<N, String> {
        let text = self.text(column)?;
        text.parse().map_err(|_| format!("{text:?} in the column {column}"))
    }

    /// What is empty is none.
    fn or_none<N: FromStr + Default>(&self, column: &str) -> Result<N, String> {
        if self.text(column)?.is_empty() { Ok(N::default()) } else { self.number(column) }
    }
}

/// The first line names the columns, after a `#`.
fn table<'a>(mut lines: impl Iterator<Item = &'a str>, separator: char) -> Result<Vec<Row<'a>>, String> {
    let head = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or("a table without names of columns")?;
    let columns: Vec<_> = head.split(separator).collect();
    let lines = lines.filter(|line| !line.is_empty());
    Ok(lines.map(|line| Row(columns.iter().copied().zip(values(line, separator)).collect())).collect())
}

/// What is in quotes is one value.
fn values(line: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
         bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
         srv_agent_addr srv_agent_port\n\
         4 skyfleet:a:b 77 10.0.0.1:80 10.0.0.1 2 0 3 5 16 1 0 2 6 0 0 1 - 80 - 1 0 - - 0\n\
         4 skyfleet:a:b 78 a.b:80 - 0 8 1 1 16 1 0 2 2 4 0 1 a.b 80 - 0 0 - - 0\n\
         4 skyfleet:a:b 1 skyfleet-files 127.0.0.1 0 5 1 1 21 1 0 0 8 0 0 0 - 1 - 1 0 - - 0\n\
         5 own 79 x:1 10.0.0.1 2 0 3 3 16 1 0 2 6 0 0 1 - 80 - 0 0 - - 0\n\n";
    const STAT: &str = "# pxname,svname,qcur,scur,slim,stot,econ,eresp,bck,last_chk,rtime,hrsp_5xx,\n\
         skyfleet:a:b,10.0.0.1:80,1,2,9,100,1,2,0,\"said, \"\"so\"\"\",250,3,\n\
         skyfleet:a:b,a.b:80,0,0,,0,0,0,1,,,,\n\n";

    #[test]
    fn servers_are_those_of_our_backends() {
        let (mut ours, structure) = backends("# name\nown\nskyfleet:a:b\nskyfleet:a:c\nskyfleet.is.12\n\n");
        assert_eq!(structure.as_deref(), Some("12"));
        servers(STATE, STAT, &mut ours).unwrap();
        assert!(ours["skyfleet:a:c"].is_empty() && ours.len() == 2);
        let first = &ours["skyfleet:a:b"]["10.0.0.1:80"];
        let figures = Figures { response_milliseconds: 250, requests: 100, failures: 6 };
        let expected = Running {
            number: 77,
            address: Some([10, 0, 0, 1].into()),
            port: 80,
            first_weight: 5,
            weight: 3,
            is_backup: false,
            most_in_flight: 9,
            admin: Admin::Ready,
            is_up: true,
            asked: Asked { health: true, agent: false },
            speaks_tls: true,
            in_flight: 3,
            figures,
        };
        assert_eq!(*first, expected);
        let second = &ours["skyfleet:a:b"]["a.b:80"];
        assert_eq!((second.address, second.admin, second.is_backup), (None, Admin::Drain, true));
        assert!(second.asked == Asked { health: false, agent: true } && !second.is_up);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        let of = |state: &str, stat: &str| servers(state, stat, &mut backends("skyfleet:a:b").0).unwrap_err();
        assert_eq!(of("", STAT), "a table without names of columns");
        assert_eq!(of(STATE, "# pxname,svname\n"), "no figures of skyfleet:a:b/10.0.0.1:80");
        assert_eq!(of(&STATE.replace(" 77 ", " x "), STAT), "\"x\" in the column srv_id");
        assert_eq!(of(STATE, &STAT.replace("bck", "other")), "no column bck");
        assert_eq!(entries("0x1 a").unwrap_err(), "\"0x1 a\" in a map");
    }

    #[test]
    fn maps_and_processes_are_understood() {
        let entry = |pattern: &str| Entry { pattern: pattern.to_owned(), backend: "skyfleet:a:b".to_owned() };
        let said = "0x55 ^a skyfleet:a:b\n0x56 ^[^\\x20]* skyfleet:a:b\n\n";
        assert_eq!(entries(said).unwrap(), [entry("^a"), entry("^[^\\x20]*")]);
        let said = "#<PID>  <type>  <reloads>\n18171   master          2 [failed: 1]   0d00h01m15s   2.6\n# workers\n";
        assert_eq!((reloads(said), reloads("")), (Some(1), None));
        assert_eq!((pid("Name: HAProxy\nPid: 42\n"), pid("")), (Some(42), None));
    }
}
