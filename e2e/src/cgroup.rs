//! The cgroups of a cluster: the pods' resource limits, and the ledger of what runs. Every process of a cluster is put into
//! a cgroup of its component before it starts and can leave no child outside, so membership says what may be killed:
//! no pid can be mistaken, nothing that forks escapes, and a crash of the lab loses nothing.
//!
//! Works with cgroup v2, v1 and both side by side (the ledger is then in the v2 hierarchy).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::addresses::{COMMON_CGROUP, Index};
use crate::error::LabError;

/// What kubelet needs where cgroup v2 is the only version (hugetlb where the kernel has it).
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    version_2: bool,
    cpuset: bool,
    systemd: bool,
}

/// The cgroups of one cluster in every hierarchy.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    path: String,
    hierarchies: Vec<Hierarchy>,
}

impl Cgroup {
    pub(crate) fn of(index: Index) -> Result<Self, LabError> {
        let hierarchies = mounted()?;
        if hierarchies.is_empty() {
            return Err(LabError::Missing(
                "no cgroup hierarchy is mounted: the lab needs cgroup v2, or v1, at /sys/fs/cgroup".into(),
            ));
        }
        Ok(Self { path: index.cgroup(), hierarchies })
    }

    /// The name kubelet is given as the root of the pods' cgroups.
    pub(crate) fn pods(&self) -> String {
        format!("/{}/pods", self.path)
    }

    /// Makes the pods' cgroup in every hierarchy, with all controllers.
    pub(crate) fn create(&self) -> Result<(), LabError> {
        for hierarchy in &self.hierarchies {
            let mut folder = hierarchy.root.clone();
            for part in format!("{}/pods", self.path).split('/') {
                let parent = folder.clone();
                folder.push(part);
                if hierarchy.version_2 {
                    enable_controllers(&parent)?;
                }
                create_folder(&folder)?;
                if hierarchy.cpuset {
                    copy_cpuset(&parent, &folder)?;
                }
            }
            if hierarchy.version_2 {
                enable_controllers(&folder)?;
            }
        }
        Ok(())
    }

    /// The file a process of `component` writes its pid to before it starts; the cgroup is made.
    pub(crate) fn ledger(&self, component: &str) -> Result<PathBuf, LabError> {
        let preferred = |hierarchy: &&Hierarchy| (hierarchy.version_2, hierarchy.systemd, !hierarchy.cpuset);
        let Some(hierarchy) = self.hierarchies.iter().max_by_key(preferred) else {
            return Err(LabError::Missing("no cgroup hierarchy is mounted".into()));
        };
        let folder = hierarchy.root.join(&self.path).join(component);
        fs::create_dir_all(&folder).map_err(LabError::file("make the cgroup", &folder))?;
        Ok(folder.join("cgroup.procs"))
    }

    /// The pids of a component, or with None of everything in the cluster, its pods too.
    pub(crate) fn processes(&self, component: Option<&str>) -> BTreeSet<i32> {
        let mut pids = BTreeSet::new();
        for folder in self.folders(component) {
            // A cgroup that vanishes meanwhile has no process.
            let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            // 0 stands for a process outside this pid namespace, which cannot be ours.
            pids.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
        pids
    }

    /// Ends every process of a component (None: of the cluster) at once, however often they fork, and waits until they are gone.
    async fn kill(&self, component: Option<&str>) -> Result<(), LabError> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let pids = self.processes(component);
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let reason = format!("the processes {pids:?} do not end");
                return Err(LabError::Command { command: format!("kill {}", self.path), reason });
            }
            for pid in pids {
                // An error means that it has ended meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends every process of a component (None: of the cluster) and removes its cgroups. After that the processes have closed
    /// their files and ports, and no start that was under way can succeed, since it would have to enter the cgroup first.
    pub(crate) async fn remove(&self, component: Option<&str>) -> Result<(), LabError> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            self.kill(component).await?;
            let failures =
                self.folders(component).into_iter().filter_map(|folder| Some((fs::remove_dir(&folder).err()?, folder)));
            // A process may have entered since, or have just ended and hold its cgroup for a moment longer.
            let failure = failures.collect::<Vec<_>>().pop().filter(|_| !self.folders(component).is_empty());
            match failure {
                None => break,
                Some((error, folder)) if Instant::now() > deadline => {
                    return Err(LabError::file("remove the cgroup", &folder)(error));
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Ok(())
    }

    /// Every folder of the component (None: of the cluster) in every hierarchy, children first.
    fn folders(&self, component: Option<&str>) -> Vec<PathBuf> {
        let top = |hierarchy: &Hierarchy| {
            let cluster = hierarchy.root.join(&self.path);
            component.map_or_else(|| cluster.clone(), |component| cluster.join(component))
        };
        self.hierarchies.iter().flat_map(|hierarchy| descendants(&top(hierarchy))).collect()
    }
}

/// Removes the cgroup above all clusters', when there is none left and none being made.
pub(crate) fn remove_common() -> Result<(), LabError> {
    for hierarchy in mounted()? {
        // Not there, or holding what is not ours.
        let _ = fs::remove_dir(hierarchy.root.join(COMMON_CGROUP));
    }
    Ok(())
}

fn mounted() -> Result<Vec<Hierarchy>, LabError> {
    let path = Path::new("/proc/self/mountinfo");
    let mounts = fs::read_to_string(path).map_err(LabError::file("read", path))?;
    Ok(hierarchies(&mounts))
}

/// `folder` and all below it, children first; nothing when it does not exist.
fn descendants(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found: Vec<PathBuf> = folders.flat_map(|entry| descendants(&entry.path())).collect();
    found.push(folder.to_owned());
    found
}

fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        let kind = file_system.next()?;
        let options: Vec<&str> = file_system.nth(1)?.split(',').collect();
        (kind == "cgroup" || kind == "cgroup2").then_some(())?;
        Some(Hierarchy {
            root: PathBuf::from(mount.split(' ').nth(4)?),
            version_2: kind == "cgroup2",
            cpuset: options.contains(&"cpuset"),
            systemd: options.contains(&"name=systemd"),
        })
    };
    mountinfo.lines().filter_map(hierarchy).collect()
}

fn create_folder(folder: &Path) -> Result<(), LabError> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(LabError::file("make the cgroup", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Passes the controllers that `folder` has on to its children. Version 2 gives a cgroup nothing its parent does not pass on.
fn enable_controllers(folder: &Path) -> Result<(), LabError> {
    let available_path = folder.join("cgroup.controllers");
    let available = fs::read_to_string(&available_path).map_err(LabError::file("read", &available_path))?;
    let path = folder.join("cgroup.subtree_control");
    for controller in CONTROLLERS.iter().filter(|name| available.split_whitespace().any(|other| other == **name)) {
        fs::write(&path, format!("+{controller}")).map_err(LabError::file("enable controllers in", &path))?;
    }
    Ok(())
}

/// In version 1 a cpuset starts empty and takes no process until it has processors and memory nodes.
fn copy_cpuset(parent: &Path, folder: &Path) -> Result<(), LabError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(name), folder.join(name));
        let value = fs::read(&from).map_err(LabError::file("read", &from))?;
        fs::write(&to, value).map_err(LabError::file("write", &to))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_every_version_are_found() {
        let mountinfo = "\
25 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 30 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
33 30 0:28 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset
34 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd";
        let found = hierarchies(mountinfo);
        let roots: Vec<&str> = found.iter().filter_map(|hierarchy| hierarchy.root.file_name()?.to_str()).collect();
        assert_eq!(roots, ["unified", "cpuset", "systemd"]);
        assert!(found[0].version_2 && !found[1].version_2 && found[1].cpuset && found[2].systemd);
    }
}
