//! From what HAProxy has to what it is to have: pure.

use super::actual::Actual;
use super::names::digest;
use super::render;
use super::step::Step;
use super::wanted::{Content, Wanted};
use super::{loads, map, server_steps};

/// The least changes, in their order.
pub(super) fn steps(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let blocks = render::blocks(&wanted.backends);
    let mut steps = missing(actual, wanted);
    if loads::is_loaded(actual, wanted, &blocks) {
        // Nobody is taken out before who comes instead is there.
        steps.extend(wanted.backends.iter().flat_map(|(name, backend)| server_steps::present(actual, name, backend)));
        steps.extend(maps(actual, wanted));
        steps.extend(wanted.backends.iter().flat_map(|(name, backend)| server_steps::gone(actual, name, backend)));
        // It comes last: that the user's own part is broken for now has it refused, and what serves is right by then.
        let config = render::config(&blocks);
        if actual.config.as_ref() != Some(&config) {
            steps.push(Step::Config(content(config)));
        }
    } else {
        steps.extend(loads::loads(actual, wanted, blocks));
    }
    let forgotten = actual.files.keys().filter(|name| !wanted.files.contains_key(*name));
    steps.extend(forgotten.map(|name| Step::Forget(name.clone())));
    steps
}

pub(super) fn content(text: String) -> Content {
    Content(text.into_bytes())
}

fn missing(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let is_there = |name: &String, content: &Content| actual.files.get(name) == Some(&digest(&content.0));
    let missing = wanted.files.iter().filter(|(name, content)| !is_there(name, content));
    missing.map(|(name, content)| Step::File(name.clone(), content.clone())).collect()
}

fn maps(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let (text, mut steps) = (map::text(&wanted.entries), Vec::new());
    if actual.entries != wanted.entries {
        steps.push(Step::Map(wanted.entries.clone()));
    }
    if actual.map.as_ref() != Some(&text) {
        steps.push(Step::MapFile(content(text)));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::actual::{Admin, Figures, Running};
    use crate::haproxy::map::Entry;
    use crate::haproxy::names::place;
    use crate::haproxy::wanted::{Asked, Backend, Server};

    const BACKEND: &str = "skyfleet:a:b";
    const X: &str = "10.0.0.1:80";
    const Y: &str = "a.example.com:80";

    fn server(weight: u32) -> Server {
        Server { number: 7, weight, is_backup: false, most_in_flight: 4, own: String::new() }
    }

    fn wanted(servers: &[(&str, u32)]) -> Wanted {
        let servers = servers.iter().map(|(name, weight)| ((*name).to_owned(), server(*weight))).collect();
        let asked = Asked { health: true, agent: false };
        let backend =
            Backend { lines: vec!["balance leastconn".to_owned()], common: "check".to_owned(), servers, asked };
        let entries = vec![Entry { pattern: "^/".to_owned(), backend: BACKEND.to_owned() }];
        let files = [(format!("{}.pem", digest(b"ca")), Content(b"ca".to_vec()))].into();
        Wanted { backends: [(BACKEND.to_owned(), backend)].into(), entries, files }
    }

    /// Where all is as it is to be.
    fn settled(wanted: &Wanted) -> Actual {
        let blocks = render::blocks(&wanted.backends);
        let running = |(name, server): (&String, &Server)| {
            let (host, port) = place(name).unwrap();
            let running = Running {
                number: server.number,
                address: Some(host.parse().unwrap_or([10, 9, 9, 9].into())),
                port,
                first_weight: 1,
                weight: server.weight,
                is_backup: false,
                most_in_flight: server.most_in_flight,
                admin: Admin::Ready,
                is_up: true,
                asked: Asked { health: true, agent: false },
                speaks_tls: false,
                in_flight: 1,
                figures: Figures::default(),
            };
            (name.clone(), running)
        };
        let backends = wanted.backends.iter();
        Actual {
            config: Some(render::config(&blocks)),
            structure: Some(render::structure(&blocks)),
            backends: backends.map(|(name, one)| (name.clone(), one.servers.iter().map(running).collect())).collect(),
            map: Some(map::text(&wanted.entries)),
            entries: wanted.entries.clone(),
            files: wanted.files.iter().map(|(name, content)| (name.clone(), digest(&content.0))).collect(),
            resolved: [("a.example.com".to_owned(), vec![[10, 9, 9, 9].into()])].into(),
        }
    }

    /// The names of steps.
    fn names(actual: &Actual, wanted: &Wanted) -> String {
        let steps = steps(actual, wanted).into_iter().map(|step| format!("{step:?}"));
        steps.map(|step| step.split(['(', ' ']).next().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn nothing_is_done_where_all_is_as_it_is_to_be() {
        let wanted = wanted(&[(X, 1), (Y, 2)]);
        assert_eq!(names(&settled(&wanted), &wanted), "");
    }

    #[test]
    fn servers_are_changed_by_commands_and_who_goes_goes_after_who_comes() {
        let (from, to) = (wanted(&[(X, 1)]), wanted(&[(Y, 1)]));
        assert_eq!(names(&settled(&from), &to), "Add Drain Config");
        assert_eq!(names(&settled(&from), &wanted(&[(X, 2)])), "Weight Config");
        let of = |change: fn(&mut Running)| {
            let mut actual = settled(&to);
            let mut gone = settled(&from).backends[BACKEND][X].clone();
            change(&mut gone);
            actual.backends.get_mut(BACKEND).unwrap().insert(X.to_owned(), gone);
            names(&actual, &to)
        };
        assert_eq!(of(|_| {}), "Drain");
        assert_eq!(of(|gone| gone.admin = Admin::Drain), "", "it has a request still");
        assert_eq!(of(|gone| (gone.admin, gone.in_flight) = (Admin::Drain, 0)), "Delete");
        assert_eq!(of(|gone| (gone.admin, gone.in_flight) = (Admin::Maintenance, 0)), "Delete");
    }

    type Change = fn(&mut Running);

    #[test]
    fn what_was_changed_by_hand_is_repaired() {
        let wanted = wanted(&[(X, 1), (Y, 2)]);
        let of = |change: fn(&mut Actual)| {
            let mut actual = settled(&wanted);
            change(&mut actual);
            names(&actual, &wanted)
        };
        let changes: [(Change, &str); 9] = [
            (|one| one.weight = 9, "Weight"),
            (|one| one.admin = Admin::Drain, "Ready"),
            (|one| one.admin = Admin::Maintenance, "Ready"),
            (|one| one.asked.health = false, "Ready"),
            (|one| one.most_in_flight = 5, "MostInFlight"),
            (|one| one.most_in_flight = 0, "Load"),
            (|one| one.address = Some([10, 0, 0, 2].into()), "Address"),
            (|one| one.port = 81, "Address"),
            (|one| one.number = 8, "Load"),
        ];
        for (change, expected) in changes {
            for server in [X, Y] {
                let mut actual = settled(&wanted);
                change(actual.backends.get_mut(BACKEND).unwrap().get_mut(server).unwrap());
                assert_eq!(names(&actual, &wanted), expected, "{server}");
            }
        }
        assert_eq!(of(|actual| actual.config = None), "Load");
        assert_eq!(of(|actual| actual.config.as_mut().unwrap().push('x')), "Load");
        assert_eq!(of(|actual| actual.structure = Some("other".to_owned())), "Load");
        assert_eq!(of(|actual| actual.map = None), "MapFile");
        assert_eq!(of(|actual| actual.entries.clear()), "Map");
        assert_eq!(of(|actual| actual.files.clear()), "File");
        assert_eq!(of(|actual| _ = actual.files.insert("old".to_owned(), String::new())), "Forget");
        // A name that is not known now changes nothing.
        assert_eq!(of(|actual| actual.resolved.clear()), "");
        let unknown: [(Change, &str, &str); 2] = [
            (|one| one.address = None, "", "Load"),
            (|one| (one.address, one.admin) = (Some([192, 0, 2, 1].into()), Admin::Maintenance), "", "Address Ready"),
        ];
        for (change, before, after) in unknown {
            let mut actual = settled(&wanted);
            change(actual.backends.get_mut(BACKEND).unwrap().get_mut(Y).unwrap());
            assert_eq!(names(&actual, &wanted), after);
            actual.resolved.clear();
            assert_eq!(names(&actual, &wanted), before);
        }
    }

    #[test]
    fn a_backend_goes_when_no_request_goes_there_any_more() {
        let (none, one) = (Wanted { backends: [].into(), entries: vec![], files: [].into() }, wanted(&[(X, 1)]));
        assert_eq!(names(&settled(&none), &one), "File Load Map MapFile");
        assert_eq!(names(&settled(&one), &none), "Map MapFile Load Forget", "the first would load what is there");
        let mut other = one.clone();
        let (_, backend) = other.backends.pop_first().unwrap();
        other.backends.insert("skyfleet:a:c".to_owned(), backend);
        other.entries[0].backend = "skyfleet:a:c".to_owned();
        assert_eq!(names(&settled(&one), &other), "Load Map MapFile Load");
        // A new process reads the map that the old one has, and not one that a person has made.
        let mut edited = settled(&one);
        edited.map = Some("^( nowhere".to_owned());
        assert_eq!(names(&edited, &other), "MapFile Load Map MapFile Load");
    }
}
