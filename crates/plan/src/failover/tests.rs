use jiff::{SignedDuration, Timestamp};
use skyfleet_api::model_deployment::{Failover, ShortfallCause};

use super::{Contact, ContactState, Patience, Suspicion, flapping, lost_since, overdue, shortfall, suspicion};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number of seconds")
}

fn silent(since: i64) -> Contact {
    Contact { state: ContactState::Silent, last_loss: Some(at(since)), ..Contact::answering(at(since)) }
}

fn returned(lost: i64, since: i64) -> Contact {
    Contact { last_loss: Some(at(lost)), ..Contact::answering(at(since)) }
}

#[test]
fn losses_at_once_make_the_hub_suspect_itself_and_losses_over_time_do_not() {
    let here = Contact::answering(at(0));
    let doubted = Contact { doubted: true, ..here.clone() };
    for (fleet, suspected) in [
        (vec![silent(1000), here.clone(), here.clone(), here.clone()], None),
        (vec![silent(1000), silent(1030), silent(1100), here.clone()], Some(Suspicion { lost: 3, doubted: 0, of: 4 })),
        // The third is gone too, only that nobody has noticed yet.
        (vec![silent(1000), silent(1030), doubted, here.clone()], Some(Suspicion { lost: 3, doubted: 1, of: 4 })),
        (vec![silent(1000), silent(1030), here.clone(), here.clone()], None),
        // Two have long been gone: of the two that were left one is lost now, which is no more than half.
        (vec![silent(9000), silent(1000), silent(2000), here.clone()], None),
        // The only cluster there is.
        (vec![silent(1000)], Some(Suspicion { lost: 1, doubted: 0, of: 1 })),
        (vec![here.clone()], None),
    ] {
        assert_eq!(suspicion(&fleet[0], fleet.iter(), 0.5), suspected, "{fleet:?}");
    }
}

#[test]
fn a_healed_network_gives_those_still_lost_their_time_anew() {
    let lost = silent(1000);
    assert_eq!(lost_since(&lost, [&returned(1030, 5000), &returned(990, 5020)].into_iter()), at(5020));
    assert_eq!(lost_since(&lost, [&returned(10, 5000), &silent(1000)].into_iter()), at(1000), "another loss");
}

#[test]
fn a_cluster_that_comes_and_goes_is_damped_until_it_has_been_steady() {
    let mut contact = Contact::answering(at(0));
    for loss in 0..4 {
        let now = at(loss * 60);
        contact.flap_penalty = flapping::after_loss(contact.flap_penalty, contact.last_loss, now);
        contact.last_loss = Some(now);
        assert_eq!(flapping::damped_until(&contact, now).is_some(), loss == 3, "after {} losses", loss + 1);
    }
    let until = flapping::damped_until(&contact, at(200)).expect("it is damped");
    assert!((at(30 * 60)..at(40 * 60)).contains(&until), "{until}");
    assert_eq!(flapping::damped_until(&contact, until), None);
    // Once a day is no flapping, for however many days.
    let mut penalty = 0;
    for day in 1..30 {
        penalty = flapping::after_loss(penalty, Some(at((day - 1) * 86_400)), at(day * 86_400));
    }
    assert_eq!(penalty, 1000);
    assert!(flapping::after_loss(1_000_000, Some(at(0)), at(1)) <= 12_000);
}

#[test]
fn what_fails_and_what_only_starts_have_patience_of_their_own() {
    let patience = Patience::from(&Failover::default());
    let starting = shortfall(None, 0, 2, true, at(100)).expect("none is ready");
    assert_eq!(starting.cause, ShortfallCause::Starting);
    assert_eq!(shortfall(Some(&starting), 1, 2, false, at(200)), Some(starting.clone()), "it goes on");
    assert!(!overdue(Some(&starting), patience, at(100 + 1799)) && overdue(Some(&starting), patience, at(1900)));
    assert_eq!(shortfall(Some(&starting), 2, 2, false, at(300)), None);
    let failing = shortfall(None, 1, 2, false, at(400)).expect("one is not ready");
    assert_eq!(
        (failing.cause, patience.ends(&failing)),
        (ShortfallCause::Failing, at(400) + SignedDuration::from_mins(5))
    );
    let again = shortfall(Some(&failing), 1, 3, true, at(500)).expect("more were asked for");
    assert_eq!((again.cause, again.since.0), (ShortfallCause::Starting, at(500)));
    assert_eq!(shortfall(None, 0, 0, false, at(1)), None);
}
