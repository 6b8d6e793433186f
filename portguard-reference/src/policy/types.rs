//! Types of ICMP and ICMPv6.

/// One entry of `types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeEntry {
    /// The type.
    pub kind: TypeKind,
    /// What stands behind the `/`.
    pub code: Option<u8>,
}

impl TypeEntry {
    /// The type that it means in this family.
    #[must_use]
    pub fn number(&self, is_ipv6: bool) -> Option<u8> {
        match self.kind {
            TypeKind::Number(number) => Some(number),
            TypeKind::Name(name) if is_ipv6 => name.icmpv6(),
            TypeKind::Name(name) => name.icmp(),
        }
    }
}

/// How a type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// By number.
    Number(u8),
    /// By name.
    Name(TypeName),
}

macro_rules! names {
    ($($variant:ident = $name:literal, $icmp:expr, $icmpv6:expr;)*) => {
        /// Names of the IANA registries, those of them that are used here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum TypeName { $(#[doc = $name] $variant,)* }

        impl TypeName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it is written.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its number in ICMP.
            #[must_use]
            pub fn icmp(self) -> Option<u8> {
                match self { $(Self::$variant => $icmp,)* }
            }

            /// Its number in ICMPv6.
            #[must_use]
            pub fn icmpv6(self) -> Option<u8> {
                match self { $(Self::$variant => $icmpv6,)* }
            }
        }
    };
}

names! {
    EchoReply = "echo-reply", Some(0), Some(129);
    DestinationUnreachable = "destination-unreachable", Some(3), Some(1);
    EchoRequest = "echo-request", Some(8), Some(128);
    TimeExceeded = "time-exceeded", Some(11), Some(3);
    ParameterProblem = "parameter-problem", Some(12), Some(4);
    RouterAdvertisement = "router-advertisement", Some(9), Some(134);
    RouterSolicitation = "router-solicitation", Some(10), Some(133);
    Timestamp = "timestamp", Some(13), None;
    PacketTooBig = "packet-too-big", None, Some(2);
    NeighborSolicitation = "neighbor-solicitation", None, Some(135);
    NeighborAdvertisement = "neighbor-advertisement", None, Some(136);
}
