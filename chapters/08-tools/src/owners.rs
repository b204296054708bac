//! Which process holds which socket: the links in /proc/PID/fd, proc_pid_fd(5).

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;

use common::text::printable;
use common::{Call, CallError, complain};

/// One descriptor of a process.
#[derive(Debug, Clone)]
pub struct Holder {
    pub pid: i32,
    /// The first 15 bytes of the program's name.
    pub command: String,
    pub descriptor: i32,
}

/// Who holds what, as far as this process may see.
#[derive(Debug, Default)]
pub struct Owners {
    by_inode: HashMap<u32, Vec<Holder>>,
    /// How many processes do not let us look.
    hidden: usize,
}

impl Owners {
    // ANCHOR: find
    /// Looks through every descriptor of every process. A process that ends meanwhile is passed over.
    pub fn find() -> Result<Self, CallError> {
        let mut owners = Self::default();
        for entry in fs::read_dir("/proc").call("read /proc")?.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let descriptors = match fs::read_dir(entry.path().join("fd")) {
                Ok(descriptors) => descriptors,
                Err(error) => {
                    owners.hidden += usize::from(error.kind() == ErrorKind::PermissionDenied);
                    continue;
                }
            };
            let command = fs::read(entry.path().join("comm")).unwrap_or_default();
            let command = printable(command.trim_ascii_end()).to_string();
            for descriptor in descriptors.flatten() {
                // A link to a socket reads "socket:[12345]": the number of the socket, by which the kernel's tables name it.
                let Ok(target) = fs::read_link(descriptor.path()) else {
                    continue;
                };
                let inode = target.to_str().and_then(|target| {
                    target
                        .strip_prefix("socket:[")?
                        .strip_suffix(']')?
                        .parse()
                        .ok()
                });
                let number = descriptor
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse().ok());
                if let (Some(inode), Some(descriptor)) = (inode, number) {
                    let holder = Holder {
                        pid,
                        command: command.clone(),
                        descriptor,
                    };
                    owners.by_inode.entry(inode).or_default().push(holder);
                }
            }
        }
        for holders in owners.by_inode.values_mut() {
            holders.sort_by_key(|holder| (holder.pid, holder.descriptor));
        }
        Ok(owners)
    }
    // ANCHOR_END: find

    /// Everybody who holds this socket. After fork(2) that may be many.
    pub fn of(&self, inode: u32) -> &[Holder] {
        self.by_inode.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// Says on standard error that some sockets have no name because of a lack of rights, if any do.
    pub fn complain_of_hidden(&self, inodes: impl IntoIterator<Item = u32>) {
        let mut nameless = inodes
            .into_iter()
            .filter(|&inode| inode != 0 && self.of(inode).is_empty());
        if self.hidden > 0 && nameless.next().is_some() {
            complain!(
                "{} processes of other users cannot be looked into: run as root (or with CAP_SYS_PTRACE) to name all",
                self.hidden
            );
        }
    }
}
