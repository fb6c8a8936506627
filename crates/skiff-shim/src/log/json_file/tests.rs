//! The log against real files in a directory of its own.

use std::path::Path;

use super::*;
use crate::log::escape::EXPANSION;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("skiff-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
        max_size: 0,
        max_file: 1,
        compress: false,
        attrs: BTreeMap::new(),
    }
}

/// The entries of a file without their times.
fn entries(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let member = |name: &str| value[name].as_str().unwrap().to_owned();
            assert!(member("time").ends_with('Z'));
            (member("stream"), member("log"))
        })
        .collect()
}

fn logs_of(path: &Path) -> Vec<String> {
    entries(path).into_iter().map(|entry| entry.1).collect()
}

#[test]
fn lines_become_entries_and_an_unfinished_one_waits() {
    let directory = Directory::new("lines");
    let path = directory.0.join("a.log");
    let mut log = JsonFile::open(options(&path)).unwrap();
    log.write(Channel::Stdout, b"one\ntwo\n\nthr");
    log.write(Channel::Stderr, b"bad\n");
    log.write(Channel::Stdout, b"ee\nrest");
    let expect = [
        ("stdout", "one\n"),
        ("stdout", "two\n"),
        ("stdout", "\n"),
        ("stderr", "bad\n"),
        ("stdout", "three\n"),
    ];
    let owned = |(stream, log): &(&str, &str)| (stream.to_string(), log.to_string());
    assert_eq!(entries(&path), expect.iter().map(owned).collect::<Vec<_>>());
    log.finish();
    assert_eq!(entries(&path).last().unwrap().1, "rest");
}

#[test]
fn an_entry_is_written_exactly_as_docker_writes_it() {
    let directory = Directory::new("exact");
    let path = directory.0.join("a.log");
    let mut with_attrs = options(&path);
    with_attrs.attrs = [("b", "x\t\"y\""), ("a", "<1>")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let mut log = JsonFile::open(with_attrs).unwrap();
    log.write(Channel::Stdout, b"x\n");
    let text = std::fs::read_to_string(&path).unwrap();
    let (front, time) = text.split_once("\"time\":\"").unwrap();
    let expect = r#"{"log":"x\n","stream":"stdout","attrs":{"a":"\u003c1\u003e","b":"x\t\"y\""},"#;
    assert_eq!(front, expect);
    assert!(time.ends_with("Z\"}\n"));
}

#[test]
fn long_lines_are_split_where_docker_splits_them_however_they_arrive() {
    let directory = Directory::new("split");
    for len in [16383, 16384, 16385, 32767, 32768, 40000] {
        let mut line = vec![b'y'; len];
        line.push(b'\n');
        let mut expect = Vec::new();
        let mut left = len;
        while left >= LINE_LIMIT {
            expect.push(LINE_LIMIT);
            left -= LINE_LIMIT;
        }
        expect.push(left + 1);
        for piece in [1000, 16384, 100_000] {
            let path = directory.0.join(format!("{len}-{piece}.log"));
            let mut log = JsonFile::open(options(&path)).unwrap();
            for bytes in line.chunks(piece) {
                log.write(Channel::Stdout, bytes);
            }
            let lens: Vec<usize> = logs_of(&path).iter().map(String::len).collect();
            assert_eq!(lens, expect, "line of {len} in pieces of {piece}");
        }
    }
}

#[test]
fn the_worst_bytes_fit_the_buffer() {
    let directory = Directory::new("worst");
    let path = directory.0.join("a.log");
    let mut log = JsonFile::open(options(&path)).unwrap();
    log.write(Channel::Stdout, &vec![0xff; 1 << 20]);
    log.write(Channel::Stdout, &vec![b'\n'; 1 << 16]);
    log.finish();
    let logs = logs_of(&path);
    assert_eq!(logs.len(), (1 << 20) / LINE_LIMIT + (1 << 16));
    assert_eq!(logs[0].len(), LINE_LIMIT * 3);
    assert_eq!("\\ufffd".len(), EXPANSION);
}

#[test]
fn rotation_keeps_the_number_of_files_and_never_exceeds_the_size() {
    let directory = Directory::new("rotate");
    let path = directory.0.join("a.log");
    let mut rotating = options(&path);
    (rotating.max_size, rotating.max_file) = (1000, 3);
    let mut log = JsonFile::open(rotating).unwrap();
    for number in 0..100 {
        log.write(Channel::Stdout, format!("line {number}\n").as_bytes());
    }
    let mut names: Vec<_> = std::fs::read_dir(&directory.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.log", "a.log.1", "a.log.2"]);
    let mut numbers = Vec::new();
    for name in ["a.log.2", "a.log.1", "a.log"] {
        let file = directory.0.join(name);
        assert!(file.metadata().unwrap().len() <= 1000);
        numbers.extend(logs_of(&file));
    }
    let first = 100 - numbers.len();
    let expect: Vec<_> = (first..100).map(|number| format!("line {number}\n")).collect();
    assert_eq!(numbers, expect);
}

#[test]
fn one_file_that_is_full_begins_again() {
    let directory = Directory::new("single");
    let path = directory.0.join("a.log");
    let mut rotating = options(&path);
    rotating.max_size = 300;
    let mut log = JsonFile::open(rotating).unwrap();
    for number in 0..50 {
        log.write(Channel::Stdout, format!("line {number}\n").as_bytes());
        assert!(path.metadata().unwrap().len() <= 300);
    }
    assert_eq!(logs_of(&path).last().unwrap(), "line 49\n");
}

#[test]
fn a_log_goes_on_where_it_stopped_and_after_being_replaced() {
    let directory = Directory::new("again");
    let path = directory.0.join("a.log");
    JsonFile::open(options(&path)).unwrap().write(Channel::Stdout, b"1\n");
    let mut log = JsonFile::open(options(&path)).unwrap();
    log.write(Channel::Stdout, b"2\n");
    assert_eq!(logs_of(&path), ["1\n", "2\n"]);
    std::fs::remove_file(&path).unwrap();
    log.reopen();
    log.write(Channel::Stdout, b"3\n");
    assert_eq!(logs_of(&path), ["3\n"]);
}

#[test]
fn a_link_or_a_fifo_in_the_files_place_is_refused() {
    let directory = Directory::new("links");
    let link = directory.0.join("link.log");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    assert!(matches!(JsonFile::open(options(&link)), Err(LogError::Open { .. })));
    let null = Path::new("/dev/null");
    assert!(matches!(JsonFile::open(options(null)), Err(LogError::NotRegular(_))));
}
