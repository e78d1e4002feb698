//! What Apache 2.4.71 has written.

use std::collections::BTreeSet;

use crate::apache::live::{self, Live};
use crate::apache::members::Member;
use crate::apache::render::Marker;

const XML: &str = "<?xml version='1.0' encoding='UTF-8' ?>
<httpd:manager xmlns:httpd='http://httpd.apache.org'>
  <httpd:balancers>
    <httpd:balancer>
      <httpd:name>balancer://skyfleet-running-3-0123456789abcdef</httpd:name>
      <httpd:timeout>0</httpd:timeout>      <httpd:lbmethod>byrequests</httpd:lbmethod>
      <httpd:workers>
      </httpd:workers>
    </httpd:balancer>
    <httpd:balancer>
      <httpd:name>balancer://of-the-user</httpd:name>
      <httpd:timeout>0</httpd:timeout>      <httpd:lbmethod>byrequests</httpd:lbmethod>
      <httpd:workers>
      </httpd:workers>
    </httpd:balancer>
    <httpd:balancer>
      <httpd:name>balancer://skyfleet-ml-llama-x</httpd:name>
      <httpd:stickysession>replica</httpd:stickysession>
      <httpd:nofailover>Off</httpd:nofailover>
      <httpd:timeout>0</httpd:timeout>      <httpd:maxattempts>2</httpd:maxattempts>
      <httpd:lbmethod>bybusyness</httpd:lbmethod>
      <httpd:workers>
        <httpd:worker>
          <httpd:name>ws://127.0.0.1</httpd:name>
          <httpd:scheme>ws</httpd:scheme>
          <httpd:hostname>127.0.0.1</httpd:hostname>
          <httpd:loadfactor>1.00</httpd:loadfactor>
          <httpd:port>80</httpd:port>
          <httpd:timeout>300</httpd:timeout>
          <httpd:status>Init Err </httpd:status>
          <httpd:loadfactor>1.00</httpd:loadfactor>
          <httpd:route>abc</httpd:route>
          <httpd:busy>7</httpd:busy>
          <httpd:lbset>0</httpd:lbset>
        </httpd:worker>
        <httpd:worker>
          <httpd:name>ws://2@[fd00::1]:8000</httpd:name>
          <httpd:scheme>ws</httpd:scheme>
          <httpd:hostname>fd00::1</httpd:hostname>
          <httpd:port>8000</httpd:port>
          <httpd:status>Init Dis HcFl </httpd:status>
          <httpd:loadfactor>12.50</httpd:loadfactor>
          <httpd:route></httpd:route>
          <httpd:busy>0</httpd:busy>
          <httpd:lbset>1</httpd:lbset>
        </httpd:worker>
      </httpd:workers>
    </httpd:balancer>
  </httpd:balancers>
</httpd:manager>";

const PAGE: &str = "<h3>LoadBalancer Status for <a href=\"/.skyfleet/balancer-manager?b=skyfleet-ml-llama-x&amp;nonce=da7d15b6-ee76\">\
                    balancer://skyfleet-ml-llama-x</a> [pabfe244c_skyfleet_ml_llama_x]</h3>\n\n\n<table><tr><th>MaxMembers</th></tr>\n\
                    <tr><td>9 [2 Used]</td>\n<td> (None) </td>";

#[test]
fn the_pages_are_understood() {
    let live = live::parse(XML, PAGE).expect("understood");
    let digest = "0123456789abcdef".to_owned();
    assert_eq!(live.marker, Some(Marker { revision: 3, digest }));
    assert_eq!(live.pools.keys().collect::<Vec<_>>(), ["skyfleet-ml-llama-x"], "what is the user's is none of ours");
    let pool = &live.pools["skyfleet-ml-llama-x"];
    assert_eq!((pool.slots, pool.used, pool.is_strange), (9, 2, false));
    let balancer = &pool.balancer;
    assert_eq!((&*balancer.method, balancer.attempts, balancer.cookie.as_deref()), ("bybusyness", 2, Some("replica")));
    let members: Vec<_> = pool.members.iter().map(|(member, one)| (member.url.clone(), one)).collect();
    let (first, second) = (&members[0], &members[1]);
    assert_eq!((&*first.0, first.1.is_failed, first.1.busy, &*first.1.route), ("ws://127.0.0.1", true, 7, "abc"));
    assert_eq!((&*second.0, second.1.factor, second.1.set), ("ws://2@[fd00::1]:8000", 1250, 1));
    assert_eq!(second.1.flags, BTreeSet::from(["Dis".to_owned(), "HcFl".to_owned()]));
    // They are what a driver calls them.
    for member in pool.members.keys() {
        assert_eq!(*member, Member::new(member.address.clone(), member.number, "ws"));
    }
    assert_eq!(live::nonce(PAGE, "skyfleet-ml-llama-x").as_deref(), Some("da7d15b6-ee76"));
    assert_eq!(live::nonce(PAGE, "skyfleet-ml-llama"), None);
}

#[test]
fn what_is_no_such_page_is_no_server_without_balancers() {
    for (xml, page) in [
        (XML, "<html>"),
        (&XML[..XML.len() - 20], PAGE),
        ("<html><p>Not here</html>", PAGE),
        (&XML.replace("<httpd:busy>7", "<httpd:busy>many"), PAGE),
    ] {
        assert!(live::parse(xml, page).is_err(), "{xml}");
    }
    assert_eq!(live::parse("<m><balancers></balancers></m>", ""), Ok(Live::default()));
}
