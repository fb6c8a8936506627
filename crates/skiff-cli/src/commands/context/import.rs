//! `context import`: a context from a tar archive that `context export` wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use super::check_new;
use super::definition::Definition;
use crate::command::{Arity, Command};
use crate::commands::tar::{BLOCK, Header};
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["context import"],
    usage: "CONTEXT FILE|-",
    summary: "Read a context from a tar archive",
    arity: Arity::Exactly(2),
    flags: &[],
    interspersed: true,
    examples: &[("As it was exported", "context import builder builder.dockercontext")],
    run,
};

/// A description and a few certificates: anything larger is none of ours.
const LARGEST: u64 = 10 << 20;

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let [name, path] = &*flags.args else {
        return Err(Failure::new("a name and a file are needed"));
    };
    check_new(context, name)?;
    let definition = if path == "-" {
        unpack(&mut io::stdin().lock())?
    } else {
        let file = File::open(path)
            .map_err(|error| Failure::new(format!("open {path}: {}", describe_io(&error))))?;
        unpack(&mut io::BufReader::new(file))?
    };
    definition.store(context, name)?;
    say!("{name}");
    tell!("Successfully imported context {name:?}");
    Ok(())
}

pub(super) fn unpack(archive: &mut dyn Read) -> Result<Definition, Failure> {
    let unreadable =
        |error: io::Error| Failure::new(format!("invalid context: {}", describe_io(&error)));
    let (mut meta, mut files) = (None, BTreeMap::new());
    while let Some(header) = Header::read(archive).map_err(unreadable)? {
        if header.kind == b'5' {
            continue;
        }
        let place = place(&header)?;
        if header.size > LARGEST {
            return Err(Failure::new(format!("invalid context: {} is too large", header.name)));
        }
        let size = usize::try_from(header.size).unwrap_or_default();
        let mut bytes = vec![0; size];
        archive.read_exact(&mut bytes).map_err(unreadable)?;
        // Docker's archives end without filling up the last block.
        let padding = (size.next_multiple_of(BLOCK) - size) as u64;
        io::copy(&mut (&mut *archive).take(padding), &mut io::sink()).map_err(unreadable)?;
        match place {
            Some(place) => drop(files.insert(place, bytes)),
            None => meta = Some(bytes),
        }
    }
    let meta = meta.ok_or_else(|| Failure::new("invalid context: no metadata found"))?;
    let meta = serde_json::from_slice::<serde_json::Value>(&meta)
        .ok()
        .filter(serde_json::Value::is_object)
        .ok_or_else(|| Failure::new("invalid context: meta.json is not what a context has"))?;
    Ok(Definition { meta, files })
}

/// Where below the context's TLS directory the file belongs; `None` is its description.
fn place(header: &Header) -> Result<Option<String>, Failure> {
    if header.kind == b'0' && header.name == "meta.json" {
        return Ok(None);
    }
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    match header.name.split('/').collect::<Vec<_>>()[..] {
        ["tls", endpoint, file] if header.kind == b'0' && plain(endpoint) && plain(file) => {
            Ok(Some(format!("{endpoint}/{file}")))
        }
        _ => Err(Failure::new(format!("{}: unexpected context file", header.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_cannot_write_elsewhere() {
        for (name, kind) in [
            ("tls/../x", b'0'),
            ("tls/docker/..", b'0'),
            ("/meta.json", b'0'),
            ("tls/docker/a/b", b'0'),
            ("meta.json", b'2'),
            ("other", b'0'),
        ] {
            let header = Header { name: name.to_owned(), kind, ..Header::default() };
            let error = unpack(&mut &header.encode()[..]).unwrap_err();
            assert_eq!(error.message, format!("{name}: unexpected context file"));
        }
        assert_eq!(
            unpack(&mut io::empty()).unwrap_err().message,
            "invalid context: no metadata found"
        );
    }
}
