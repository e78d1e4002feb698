//! Which balancer takes a request, as mod_rewrite has it: pure.

use std::fmt::Write as _;
use std::path::Path;

use super::names::literally;
use super::wanted::Taken;
use crate::rules::Host;

/// The header that names the model of a request.
const MODEL: &str = "X-Gateway-Model-Name";

/// The rules. What they look at is the target of the request as it was sent: Apache's own idea of it is decoded. A request that was sent on
/// within Apache, as to a page for errors, is none of ours. None of them makes a request by itself anything that a header could name.
pub(super) fn text(taken: &[Taken], manager: &str, closing: &Path) -> String {
    let mut text = format!(
        "RewriteEngine On\n\
         RewriteCond \"{}\" -f\n\
         RewriteRule ^ - [NS,E=nokeepalive:1]\n\
         RewriteCond %{{REQUEST_URI}} \"!^{}\\z\"\n\
         RewriteCond %{{ENV:REDIRECT_STATUS}} \"^\\z\"\n\
         RewriteCond %{{THE_REQUEST}} \"^[^ ]+ (?:https?://[^/?]*)?(/[^ ]*)\" [NC]\n\
         RewriteRule ^ - [NS,E=SKYFLEET_URI:%1]\n",
        closing.display(),
        literally(manager)
    );
    for (place, one) in taken.iter().enumerate() {
        push(&mut text, one, taken.len() - 1 - place);
    }
    text.push_str(ENDS);
    text
}

/// Apache itself bounds no bodies that are passed on. A query is taken apart from its path and put together again, so that a `?` in either stays what it is; of what ends a query mod_rewrite
/// removes one `&`.
const ENDS: &str = r#"RewriteCond expr "-n reqenv('SKYFLEET_BYTES') && req_novary('Content-Length') -gt reqenv('SKYFLEET_BYTES')"
RewriteRule ^ - [NS,R=413]
RewriteCond %{ENV:SKYFLEET_POOL} "!^\z"
RewriteCond %{ENV:SKYFLEET_URI} "^([^?]*)\?(.*)\z"
RewriteRule ^ "balancer://%{ENV:SKYFLEET_POOL}%1?%2&" [NS,P,NE]
RewriteCond %{ENV:SKYFLEET_POOL} "!^\z"
RewriteCond %{ENV:SKYFLEET_URI} "^([^?]*)\z"
RewriteRule ^ "balancer://%{ENV:SKYFLEET_POOL}%1" [NS,P,NE]
"#;

fn push(text: &mut String, taken: &Taken, further: usize) {
    match &taken.host {
        Host::Exact(host) => push_host(text, &literally(host)),
        Host::Suffix(suffix) => push_host(text, &format!("[^:]+{}", literally(suffix))),
        Host::Any => {}
    }
    let path = literally(&taken.path);
    let path = if path.is_empty() { "^/".to_owned() } else { format!("^{path}(?:[/?]|\\z)") };
    let _ = writeln!(text, "RewriteCond %{{ENV:SKYFLEET_URI}} \"{path}\"");
    if let Some(model) = &taken.model {
        let _ = writeln!(text, "RewriteCond %{{HTTP:{MODEL}}} \"^{}\\z\" [NV]", literally(model));
    }
    // `S=0` would skip all.
    let skip = if further > 0 { format!(",S={further}") } else { String::new() };
    let bytes = if taken.bytes > 0 { format!(",E=SKYFLEET_BYTES:{}", taken.bytes) } else { String::new() };
    let _ = writeln!(text, "RewriteRule ^ - [NS,E=SKYFLEET_POOL:{}{bytes}{skip}]", taken.pool);
}

fn push_host(text: &mut String, expression: &str) {
    let _ = writeln!(text, "RewriteCond %{{HTTP_HOST}} \"^{expression}\\.?(?::[0-9]*)?\\z\" [NC,NV]");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(host: Host, path: &str, model: Option<&str>) -> Taken {
        Taken { host, path: path.to_owned(), model: model.map(str::to_owned), pool: "skyfleet-x".to_owned(), bytes: 9 }
    }

    #[test]
    fn the_first_rule_that_matches_skips_the_others() {
        let rules = [
            taken(Host::Exact("a.example.com".to_owned()), "/v1", Some("llama")),
            taken(Host::Suffix(".example.com".to_owned()), "", None),
        ];
        let text = text(&rules, "/.skyfleet/balancer-manager", Path::new("/closing"));
        let expected = r#"RewriteCond %{HTTP_HOST} "^a\x2eexample\x2ecom\.?(?::[0-9]*)?\z" [NC,NV]
RewriteCond %{ENV:SKYFLEET_URI} "^/v1(?:[/?]|\z)"
RewriteCond %{HTTP:X-Gateway-Model-Name} "^llama\z" [NV]
RewriteRule ^ - [NS,E=SKYFLEET_POOL:skyfleet-x,E=SKYFLEET_BYTES:9,S=1]
RewriteCond %{HTTP_HOST} "^[^:]+\x2eexample\x2ecom\.?(?::[0-9]*)?\z" [NC,NV]
RewriteCond %{ENV:SKYFLEET_URI} "^/"
RewriteRule ^ - [NS,E=SKYFLEET_POOL:skyfleet-x,E=SKYFLEET_BYTES:9]
"#;
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn nobody_writes_a_directive_by_a_host_a_path_or_a_model() {
        let hostile = "\\z\" [P]\nInclude /etc/passwd\n#${HOME}%{ENV:x}\\";
        let rule = taken(Host::Exact(hostile.to_owned()), hostile, Some(hostile));
        let text = text(&[rule], "/m", Path::new("/closing"));
        assert!(text.lines().all(|line| line.starts_with("Rewrite")), "{text}");
        assert!(!text.contains("Include /") && !text.contains("${"), "{text}");
        assert_eq!(text.matches("[P]").count(), 0, "{text}");
    }
}
