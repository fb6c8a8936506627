//! One thread reads (and inflates), another uses what was read.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::compression::{decoder, detect, peek};
use crate::error::{Result, StoreError};

/// Bytes handed over at a time; a few of these are the whole memory of a running pump.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 8;

/// Reads `source` on this thread and runs `consume` on another, which may end before the source
/// does. An error of the source is seen by `consume`.
pub(crate) fn pump<T: Send>(
    mut source: impl Read,
    consume: impl FnOnce(ChunkReader) -> T + Send,
) -> T {
    let (chunks_in, chunks_out) = sync_channel(CHUNKS);
    let (spent_in, spent_out) = channel();
    let reader = ChunkReader { chunks: chunks_out, spent: spent_in, current: Vec::new(), start: 0 };
    std::thread::scope(|scope| {
        let consumer = scope.spawn(move || consume(reader));
        feed(&mut source, &chunks_in, &spent_out);
        drop(chunks_in);
        match consumer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Undoes the compression `stream` may have and runs `consume` on what is inside. A thread each
/// reads, inflates and consumes: a client's socket has waits in it that inflating can fill.
pub(crate) fn inflate<T: Send>(
    stream: &mut dyn Read,
    consume: impl FnOnce(ChunkReader) -> Result<T> + Send,
) -> Result<T> {
    pump(stream, |source| {
        let (head, source) = peek(source, 8).map_err(StoreError::Stream)?;
        pump(decoder(detect(&head)?, source).map_err(StoreError::Stream)?, consume)
    })
}

type Chunk = io::Result<Vec<u8>>;

fn feed(source: &mut impl Read, chunks: &SyncSender<Chunk>, spent: &Receiver<Vec<u8>>) {
    loop {
        let mut chunk = spent.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        chunk.resize(CHUNK, 0);
        let (filled, result) = fill(source, &mut chunk);
        chunk.truncate(filled);
        // A consumer that has gone away has its reasons.
        if filled > 0 && chunks.send(Ok(chunk)).is_err() {
            return;
        }
        match result {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let _ = chunks.send(Err(error));
                return;
            }
        }
    }
}

/// Fills a chunk; false at the end of the source.
fn fill(source: &mut impl Read, chunk: &mut [u8]) -> (usize, io::Result<bool>) {
    let mut filled = 0;
    while filled < chunk.len() {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => return (filled, Ok(false)),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(true))
}

/// The consumer's end.
pub(crate) struct ChunkReader {
    chunks: Receiver<Chunk>,
    spent: Sender<Vec<u8>>,
    current: Vec<u8>,
    start: usize,
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.current.len()
            && let Ok(chunk) = self.chunks.recv()
        {
            let spent = std::mem::replace(&mut self.current, chunk?);
            self.start = 0;
            let _ = self.spent.send(spent);
        }
        Ok(&self.current[self.start..])
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let n = buffer.len().min(out.len());
        out[..n].copy_from_slice(&buffer[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let mut got = Vec::new();
        pump(&bytes[..], |mut reader| reader.read_to_end(&mut got)).unwrap();
        assert!(got == bytes);
    }

    #[test]
    fn an_error_arrives_after_the_bytes_before_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let mut got = Vec::new();
        let error = pump((&b"abc"[..]).chain(Broken), |mut r| r.read_to_end(&mut got)).unwrap_err();
        assert_eq!((&got[..], error.to_string().as_str()), (&b"abc"[..], "broken"));
    }

    #[test]
    fn a_consumer_may_stop_early() {
        let first = pump(io::repeat(7), |mut reader| reader.fill_buf().map(|buffer| buffer[0]));
        assert_eq!(first.unwrap(), 7);
    }
}
