//! HTTP as it is on the wire.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use portguard_testbed::{Bed, Namespace};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut own = self.headers.iter().filter(|(own, _)| own == name);
        own.next().map(|(_, value)| value.as_str())
    }
}

/// Connects to an address of the server, from the server itself.
pub(crate) fn connect(bed: &Bed, address: &str) -> io::Result<TcpStream> {
    connect_on(&bed.server, address)
}

fn connect_on(host: &Namespace, address: &str) -> io::Result<TcpStream> {
    let stream = host
        .enter(|| TcpStream::connect(address))
        .expect("enters")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

pub(crate) fn get(bed: &Bed, address: &str, path: &str) -> Reply {
    request(
        bed,
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
    )
}

/// Sends a request and reads the answer until the connection is closed.
pub(crate) fn request(bed: &Bed, address: &str, request: &str) -> Reply {
    request_on(&bed.server, address, request)
}

/// The same on any host.
pub(crate) fn request_on(host: &Namespace, address: &str, request: &str) -> Reply {
    let mut stream = connect_on(host, address).expect("connects");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer in time");
    let (head, body) = text.split_once("\r\n\r\n").expect("an empty line");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| line.split_once(": "));
    Reply {
        status: status.expect("a status").parse().expect("a number"),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

/// Series by name and labels, as they are written.
pub(crate) fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    series.collect()
}
