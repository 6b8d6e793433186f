//! A reader of server-sent events, as they are on the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use portguard_testbed::Bed;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::Value;

use crate::metrics::http::connect;

use super::PATIENCE;

/// A reader of the page's stream.
pub(crate) struct Reader {
    stream: TcpStream,
    /// What has come of the chunked body, without its chunks.
    text: Vec<u8>,
    /// What has come and is not yet taken apart.
    raw: Vec<u8>,
}

impl Reader {
    /// Asks for the stream.
    pub(crate) fn open(bed: &Bed, address: &str) -> Self {
        let mut stream = connect(bed, address).expect("connects");
        let request = format!("GET /stream HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sends");
        let mut reader = Self {
            stream,
            text: Vec::new(),
            raw: Vec::new(),
        };
        let end = loop {
            if let Some(end) = find(&reader.raw, b"\r\n\r\n") {
                break end;
            }
            assert!(reader.read(), "the answer has no end");
        };
        let head = String::from_utf8(reader.raw.drain(..end + 4).collect()).expect("text");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("content-type: text/event-stream\r\n"),
            "{head}"
        );
        reader
    }

    /// Has the kernel keep little of what is not read.
    pub(super) fn keep_little(&self) {
        set_socket_recv_buffer_size(&self.stream, 4096).expect("a small buffer");
    }

    /// Reads some more; `false` at the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.raw.extend(&bytes[..length]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing comes any more: {error}"),
        }
    }

    /// Takes whole chunks out of what has come.
    fn unchunk(&mut self) {
        while let Some(end) = find(&self.raw, b"\r\n") {
            let length = str::from_utf8(&self.raw[..end]).expect("a length");
            let length = usize::from_str_radix(length, 16).expect("a length");
            if self.raw.len() < end + 2 + length + 2 {
                return;
            }
            self.text
                .extend(self.raw.drain(..end + 2 + length + 2).skip(end + 2));
            self.text.truncate(self.text.len() - 2);
        }
    }

    /// The next event with its data; `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            self.unchunk();
            let Some(end) = find(&self.text, b"\n\n") else {
                if !self.read() {
                    return None;
                }
                continue;
            };
            let event: Vec<u8> = self.text.drain(..end + 2).collect();
            let event = String::from_utf8(event).expect("text");
            if event == "retry: 2000\n\n" {
                continue;
            }
            let (name, data) = event.trim_end().split_once('\n').expect("two lines");
            let name = name.strip_prefix("event: ").expect("a name");
            let data = data.strip_prefix("data: ").expect("data");
            return Some((name.into(), serde_json::from_str(data).expect("JSON")));
        }
    }

    fn next_of(&mut self, wanted: &str) -> Value {
        let begin = Instant::now();
        loop {
            let (name, data) = self.next().expect("the stream goes on");
            assert_ne!(name, "failed", "{data}");
            if name == wanted {
                return data;
            }
            assert!(begin.elapsed() < PATIENCE, "no `{wanted}`");
        }
    }

    /// The next text of a policy.
    pub(super) fn policy(&mut self) -> Value {
        self.next_of("policy")
    }

    /// The next report.
    pub(crate) fn report(&mut self) -> Value {
        self.next_of("report")
    }

    /// The first report that is as wanted.
    pub(super) fn report_when(&mut self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let report = self.report();
            if is_wanted(&report) {
                return report;
            }
            assert!(begin.elapsed() < PATIENCE, "no {what}: {report:#}");
        }
    }

    /// Reads up to the end of the stream, which comes in time.
    pub(super) fn ends(&mut self) {
        let begin = Instant::now();
        while self.read() {
            assert!(begin.elapsed() < 2 * PATIENCE, "the stream goes on");
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}
