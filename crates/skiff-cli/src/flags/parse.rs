//! The parser: long and short flags, clusters, `--`, and flags among the arguments or before them.

use super::{Flag, FlagGroups, Kind, Matches, find_long, find_short};

/// Parses `args` against the rows of a command.
///
/// With `interspersed`, flags may stand anywhere; otherwise the first argument that is no flag ends
/// them, because what follows belongs to the command to be run.
pub(crate) fn parse(
    groups: FlagGroups,
    interspersed: bool,
    args: &[String],
) -> Result<Matches, String> {
    let mut matches = Matches { groups, values: Vec::new(), args: Vec::new(), help: false };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let result = if arg == "--" {
            matches.args.extend(rest.by_ref().cloned());
            break;
        } else if let Some(body) = arg.strip_prefix("--") {
            long(&mut matches, arg, body, &mut rest)
        } else if arg.len() > 1 && arg.starts_with('-') {
            cluster(&mut matches, &arg[1..], &mut rest)
        } else {
            matches.args.push(arg.clone());
            if !interspersed {
                matches.args.extend(rest.by_ref().cloned());
            }
            Ok(())
        };
        if let Err(error) = result {
            // As with pflag, a help flag met before a mistake wins.
            return if matches.help { Ok(matches) } else { Err(error) };
        }
    }
    Ok(matches)
}

type Rest<'a> = std::slice::Iter<'a, String>;

fn long(matches: &mut Matches, arg: &str, body: &str, rest: &mut Rest) -> Result<(), String> {
    if body.starts_with(['-', '=']) {
        return Err(format!("bad flag syntax: {arg}"));
    }
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    let Some(flag) = find_long(matches.groups, name) else {
        return match (name, value) {
            ("help", None) => {
                matches.help = true;
                Ok(())
            }
            ("help", Some(value)) => {
                matches.help = Flag::switch("help", "").check(value).map(|()| value == "true")?;
                Ok(())
            }
            _ => Err(format!("unknown flag: --{name}")),
        };
    };
    let value = match (value, flag.kind) {
        (Some(value), _) => value.to_owned(),
        (None, Kind::Bool) => "true".to_owned(),
        (None, _) => {
            rest.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?.clone()
        }
    };
    store(matches, flag, value)
}

/// Parses `-it`, `-eKEY=value`, `-e=KEY` and `-e KEY`.
fn cluster(matches: &mut Matches, cluster: &str, rest: &mut Rest) -> Result<(), String> {
    let mut remaining = cluster;
    while let Some(letter) = remaining.chars().next() {
        let after = &remaining[letter.len_utf8()..];
        let Some(flag) = find_short(matches.groups, letter) else {
            if letter == 'h' {
                matches.help = true;
                return Ok(());
            }
            return Err(format!("unknown shorthand flag: '{letter}' in -{remaining}"));
        };
        if let Some(value) = after.strip_prefix('=') {
            return store(matches, flag, value.to_owned());
        }
        if !matches!(flag.kind, Kind::Bool) {
            let value = if after.is_empty() {
                rest.next()
                    .ok_or_else(|| format!("flag needs an argument: '{letter}' in -{remaining}"))?
            } else {
                after
            };
            return store(matches, flag, value.to_owned());
        }
        store(matches, flag, "true".to_owned())?;
        remaining = after;
    }
    Ok(())
}

fn store(matches: &mut Matches, flag: &'static Flag, value: String) -> Result<(), String> {
    flag.check(&value)?;
    if let Kind::Slice = flag.kind {
        matches.values.extend(value.split(',').map(|part| (flag, part.to_owned())));
    } else {
        matches.values.push((flag, value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: &[Flag] = &[
        Flag::switch("interactive", "").short('i'),
        Flag::switch("tty", "").short('t'),
        Flag::switch("sig-proxy", "").default("true"),
        Flag::list("env", "").short('e'),
        Flag::text("name", ""),
        Flag::bytes("memory", "").short('m'),
        Flag::slice("platform", ""),
        Flag::integer("last", "").short('n').default("-1"),
    ];
    static GROUPS: FlagGroups = &[ROWS];

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn parsed(text: &str) -> Matches {
        parse(GROUPS, false, &words(text)).unwrap()
    }

    fn refused(text: &str) -> String {
        parse(GROUPS, true, &words(text)).err().unwrap()
    }

    #[test]
    fn clusters_values_and_repetition_work() {
        let m = parsed("-it -e A=1 -eB=2 -e=C --name=x --env D --memory 64m image -t --foo");
        assert!(m.on("interactive") && m.on("tty") && m.on("sig-proxy"));
        assert_eq!(m.list("env"), ["A=1", "B=2", "C", "D"]);
        assert_eq!(m.text("name"), "x");
        assert_eq!(m.bytes("memory"), 64 << 20);
        assert_eq!(m.args, ["image", "-t", "--foo"]);
        assert_eq!(m.integer("last"), -1);
        assert!(!m.is_set("last"));
    }

    #[test]
    fn booleans_can_be_turned_off() {
        let m = parsed("-t=false --sig-proxy=0 --interactive=T");
        assert!(!m.on("tty") && !m.on("sig-proxy") && m.on("interactive"));
    }

    #[test]
    fn flags_may_follow_arguments_when_interspersed() {
        let m = parse(GROUPS, true, &words("a -t b -- -i --x")).unwrap();
        assert!(m.on("tty") && !m.on("interactive"));
        assert_eq!(m.args, ["a", "b", "-i", "--x"]);
        assert_eq!(parse(GROUPS, true, &words("a - b")).unwrap().args, ["a", "-", "b"]);
    }

    #[test]
    fn slices_split_at_commas() {
        assert_eq!(parsed("--platform a,b --platform c").list("platform"), ["a", "b", "c"]);
    }

    #[test]
    fn help_wins_over_later_mistakes() {
        assert!(parse(GROUPS, true, &words("--help --foo")).unwrap().help);
        assert!(parse(GROUPS, true, &words("-h")).unwrap().help);
    }

    #[test]
    fn mistakes_get_pflags_words() {
        for (text, message) in [
            ("--foo", "unknown flag: --foo"),
            ("--foo=1", "unknown flag: --foo"),
            ("--=x", "bad flag syntax: --=x"),
            ("---x", "bad flag syntax: ---x"),
            ("-Q", "unknown shorthand flag: 'Q' in -Q"),
            ("-itQz", "unknown shorthand flag: 'Q' in -Qz"),
            ("--name", "flag needs an argument: --name"),
            ("-m", "flag needs an argument: 'm' in -m"),
            ("-ite", "flag needs an argument: 'e' in -e"),
            ("-m abc", "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"),
            (
                "-t=x",
                "invalid argument \"x\" for \"-t, --tty\" flag: \
                 strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (
                "-n x",
                "invalid argument \"x\" for \"-n, --last\" flag: \
                 strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(refused(text), message, "{text}");
        }
    }
}
