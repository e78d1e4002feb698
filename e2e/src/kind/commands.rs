//! The command lines that a kind cluster is made and changed with. Nothing here runs one.

use std::path::Path;

use crate::addresses::{CONTAINER_NETWORK, Index};
use crate::control_plane::path;

/// The Docker network on which every node has an address of its own choice, beside kind's network, whose addresses change
/// with every start of a container.
pub(super) const NETWORK: &str = "skyfleet-lab";

/// The administrator's kubeconfig within a node.
const ADMIN: &str = "/etc/kubernetes/admin.conf";

/// kubelet ends a component when its manifest goes, in its own time; killing it meanwhile makes that a power cut. kubelet may
/// start one again before it sees the manifest gone, hence the loop.
const STOP_CONTROL_PLANE: &str = r#"
cd /etc/kubernetes && mkdir -p stopped || exit
for manifest in manifests/*.yaml; do [ ! -e "$manifest" ] || mv "$manifest" stopped/ || exit; done
running() { crictl ps --quiet --name '^(etcd|kube-apiserver|kube-controller-manager|kube-scheduler)$'; }
while true; do
  left=$(running) || exit
  [ -n "$left" ] || exit 0
  crictl stop --timeout 0 $left || sleep 1
done"#;

const START_CONTROL_PLANE: &str = r#"
cd /etc/kubernetes || exit
for manifest in stopped/*.yaml; do [ ! -e "$manifest" ] || mv "$manifest" manifests/ || exit; done"#;

/// Manifests of the control plane that are in force, and all processes, one path a line.
const SURVEY: &str = "ls -d /etc/kubernetes/manifests/*.yaml /proc/[0-9]* 2>/dev/null || true";

/// A program and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

fn command(program: &'static str, arguments: &[&str]) -> CommandLine {
    CommandLine { program, arguments: arguments.iter().map(|&argument| argument.to_owned()).collect() }
}

/// kind's name of a cluster: readable, and with the number unique on the machine, whatever labs are called.
pub(super) fn cluster_name(cluster: &str, index: Index) -> String {
    format!("skyfleet-{cluster}-{}", index.0)
}

/// The container, and in Kubernetes the node, that kind makes for a cluster of one node.
pub(super) fn container(cluster: &str, index: Index) -> String {
    format!("{}-control-plane", cluster_name(cluster, index))
}

pub(super) fn engine_name() -> CommandLine {
    command("docker", &["info", "--format", "{{.Name}}"])
}

pub(super) fn version() -> CommandLine {
    command("kind", &["version"])
}

pub(super) fn create(name: &str, config: &Path, kubeconfig: &Path) -> CommandLine {
    let (config, kubeconfig) = (path(config), path(kubeconfig));
    command("kind", &["create", "cluster", "--name", name, "--config", &config, "--kubeconfig", &kubeconfig])
}

/// Does nothing where there is none.
pub(super) fn delete(name: &str, kubeconfig: &Path) -> CommandLine {
    command("kind", &["delete", "cluster", "--name", name, "--kubeconfig", &path(kubeconfig)])
}

pub(super) fn kubeconfig(name: &str) -> CommandLine {
    command("kind", &["get", "kubeconfig", "--name", name])
}

pub(super) fn load_image(name: &str, archive: &Path) -> CommandLine {
    command("kind", &["load", "image-archive", &path(archive), "--name", name])
}

/// Prints the network's id, or nothing.
pub(super) fn find_network() -> CommandLine {
    command("docker", &["network", "ls", "--quiet", "--filter", &format!("name=^{NETWORK}$")])
}

pub(super) fn create_network() -> CommandLine {
    command("docker", &["network", "create", "--subnet", CONTAINER_NETWORK, NETWORK])
}

pub(super) fn remove_network() -> CommandLine {
    command("docker", &["network", "rm", NETWORK])
}

/// The engine gives an address that was asked for back to the container at each start.
pub(super) fn connect(container: &str, index: Index) -> CommandLine {
    command("docker", &["network", "connect", "--ip", &index.container().to_string(), NETWORK, container])
}

/// Prints `running`, `exited` or the like, or nothing where there is no such container.
pub(super) fn state(container: &str) -> CommandLine {
    command("docker", &["ps", "--all", "--filter", &format!("name=^{container}$"), "--format", "{{.State}}"])
}

pub(super) fn pid(container: &str) -> CommandLine {
    command("docker", &["inspect", "--format", "{{.State.Pid}}", container])
}

/// Does nothing to a container that runs.
pub(super) fn start(container: &str) -> CommandLine {
    command("docker", &["start", container])
}

/// At once, as a power cut.
pub(super) fn stop(container: &str) -> CommandLine {
    command("docker", &["stop", "-t", "0", container])
}

pub(super) fn stop_control_plane(container: &str) -> CommandLine {
    command("docker", &["exec", container, "sh", "-c", STOP_CONTROL_PLANE])
}

pub(super) fn start_control_plane(container: &str) -> CommandLine {
    command("docker", &["exec", container, "sh", "-c", START_CONTROL_PLANE])
}

pub(super) fn survey(container: &str) -> CommandLine {
    command("docker", &["exec", container, "sh", "-c", SURVEY])
}

/// Asks the cluster from within its node, so that a partition does not matter.
pub(super) fn get(container: &str, object: &[&str]) -> CommandLine {
    let kubectl = ["exec", container, "kubectl", "--kubeconfig", ADMIN, "--request-timeout", "5s", "get", "-o", "json"];
    command("docker", &[&kubectl, object].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &CommandLine) -> String {
        format!("{} {}", command.program, command.arguments.join(" "))
    }

    #[test]
    fn each_command_is_the_one_documented() {
        let (index, node) = (Index(7), container("aws-1", Index(7)));
        let name = cluster_name("aws-1", index);
        let (config, admin) = (Path::new("/labs/demo/aws-1/kind.yaml"), Path::new("/labs/demo/aws-1/admin.kubeconfig"));
        let table = [
            (engine_name(), "docker info --format {{.Name}}"),
            (version(), "kind version"),
            (
                create(&name, config, admin),
                "kind create cluster --name skyfleet-aws-1-7 --config /labs/demo/aws-1/kind.yaml \
                 --kubeconfig /labs/demo/aws-1/admin.kubeconfig",
            ),
            (
                delete(&name, admin),
                "kind delete cluster --name skyfleet-aws-1-7 --kubeconfig /labs/demo/aws-1/admin.kubeconfig",
            ),
            (kubeconfig(&name), "kind get kubeconfig --name skyfleet-aws-1-7"),
            (
                load_image(&name, Path::new("/images/web.tar")),
                "kind load image-archive /images/web.tar --name skyfleet-aws-1-7",
            ),
            (find_network(), "docker network ls --quiet --filter name=^skyfleet-lab$"),
            (create_network(), "docker network create --subnet 198.19.128.0/24 skyfleet-lab"),
            (remove_network(), "docker network rm skyfleet-lab"),
            (
                connect(&node, index),
                "docker network connect --ip 198.19.128.9 skyfleet-lab skyfleet-aws-1-7-control-plane",
            ),
            (state(&node), "docker ps --all --filter name=^skyfleet-aws-1-7-control-plane$ --format {{.State}}"),
            (pid(&node), "docker inspect --format {{.State.Pid}} skyfleet-aws-1-7-control-plane"),
            (start(&node), "docker start skyfleet-aws-1-7-control-plane"),
            (stop(&node), "docker stop -t 0 skyfleet-aws-1-7-control-plane"),
            (
                get(&node, &["node", &node]),
                "docker exec skyfleet-aws-1-7-control-plane kubectl --kubeconfig /etc/kubernetes/admin.conf \
                 --request-timeout 5s get -o json node skyfleet-aws-1-7-control-plane",
            ),
        ];
        for (command, expected) in table {
            assert_eq!(line(&command), expected);
        }
    }

    #[test]
    fn the_longest_names_fit_a_host_name() {
        assert!(container("abcdefghijklmnopqrst", Index(127)).len() <= 63);
    }
}
