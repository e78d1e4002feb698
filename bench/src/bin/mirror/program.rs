//! The programs that are compared, and what each is asked to do.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use skyfleet_e2e::object_store::Azurite;

use crate::commands;
use crate::measured::{self, Cost};

/// A program beside Skyfleet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Rust, on the AWS SDK
    S3sync,
    /// Go, any store to any
    Rclone,
    /// Go, S3 and folders
    S5cmd,
    /// Python, S3 and folders
    Awscli,
    /// Go, Azure and folders
    Azcopy,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Objects of one bucket into another.
    Copy,
    /// Files of a folder into a bucket of S3.
    Upload,
    /// Files of a folder into a container of Azure.
    UploadToAzure,
    /// Two buckets that are the same already.
    Compare,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3sync => "s3sync",
            Self::Rclone => "rclone",
            Self::S5cmd => "s5cmd",
            Self::Awscli => "awscli",
            Self::Azcopy => "azcopy",
        }
    }

    /// How many small objects it is given at most, so that the whole ends in a sensible time; `None` where it has no part.
    pub(crate) fn most(self, work: Work) -> Option<usize> {
        match (self, work) {
            // s5cmd and the AWS CLI have the server copy: that is other work.
            (Self::S3sync | Self::Rclone, Work::Copy)
            | (Self::S3sync | Self::Rclone | Self::S5cmd, Work::Upload)
            | (Self::S3sync | Self::S5cmd, Work::Compare)
            | (Self::Rclone | Self::Azcopy, Work::UploadToAzure) => Some(usize::MAX),
            // It asks for the head of each object.
            (Self::Rclone, Work::Compare) => Some(20_000),
            (Self::Awscli, Work::Compare) => Some(100_000),
            (Self::Awscli, Work::Upload) => Some(2_000),
            _ => None,
        }
    }
}

/// A program that is there.
pub(crate) struct Program {
    /// `None` is Skyfleet's own.
    pub(crate) peer: Option<Peer>,
    pub(crate) path: PathBuf,
}

/// What is copied, and to where.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Bucket(&'a str),
    Folder(&'a Path),
    Container(&'a Azurite, &'a str),
}

/// What the programs have to know.
pub(crate) struct Surroundings {
    /// The URL of the S3 server.
    pub(crate) endpoint: String,
    /// The file of its certificate, where it speaks TLS.
    pub(crate) certificate: Option<PathBuf>,
    /// A folder for what they keep of their own.
    pub(crate) home: PathBuf,
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        self.peer.map_or("skyfleet", Peer::name)
    }

    /// Brings the targets up to date with the source: only the first one where a program knows no more.
    pub(crate) async fn mirror(
        &self,
        surroundings: &Surroundings,
        source: Place<'_>,
        targets: &[Place<'_>],
    ) -> Result<Cost, String> {
        let command = commands::command(self, surroundings, source, targets)?;
        measured::cost(command).await.map_err(|error| format!("{} failed: {error}", self.name()))
    }
}

/// Who is compared at which number of small objects: Skyfleet does each number that a peer can do.
pub(crate) fn groups(programs: &[Program], work: Work, objects: usize) -> Vec<(usize, Vec<&Program>)> {
    let Some((skyfleet, peers)) = programs.split_first() else { return Vec::new() };
    let mut groups = vec![(objects, vec![skyfleet])];
    for program in peers {
        let Some(most) = program.peer.and_then(|peer| peer.most(work)) else { continue };
        let count = most.min(objects);
        match groups.iter_mut().find(|(other, _)| *other == count) {
            Some((_, group)) => group.push(program),
            None => groups.push((count, vec![skyfleet, program])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(peers: &[Peer]) -> Vec<Program> {
        let peers = peers.iter().copied().map(Some);
        std::iter::once(None).chain(peers).map(|peer| Program { peer, path: PathBuf::new() }).collect()
    }

    #[test]
    fn each_peer_is_beside_skyfleet_at_a_number_that_it_can_do() {
        let all = programs(Peer::value_variants());
        let told = |work, objects| -> Vec<_> {
            let names = |group: Vec<&Program>| group.iter().map(|program| program.name()).collect::<Vec<_>>().join(" ");
            groups(&all, work, objects).into_iter().map(|(count, group)| (count, names(group))).collect()
        };
        let owned =
            |of: &[(usize, &str)]| of.iter().map(|(count, names)| (*count, (*names).to_owned())).collect::<Vec<_>>();
        for (work, objects, wanted) in [
            (Work::Copy, 20_000, owned(&[(20_000, "skyfleet s3sync rclone")])),
            (Work::Upload, 20_000, owned(&[(20_000, "skyfleet s3sync rclone s5cmd"), (2_000, "skyfleet awscli")])),
            (Work::Upload, 1_000, owned(&[(1_000, "skyfleet s3sync rclone s5cmd awscli")])),
            (Work::UploadToAzure, 10, owned(&[(10, "skyfleet rclone azcopy")])),
            (
                Work::Compare,
                1_000_000,
                owned(&[
                    (1_000_000, "skyfleet s3sync s5cmd"),
                    (20_000, "skyfleet rclone"),
                    (100_000, "skyfleet awscli"),
                ]),
            ),
        ] {
            assert_eq!(told(work, objects), wanted, "{work:?}");
        }
        assert_eq!(groups(&programs(&[]), Work::Compare, 7).len(), 1);
    }
}
