//! What of a `google.protobuf.FileDescriptorSet` tells the kinds of methods. All else is skipped while
//! decoding, so that even hostile descriptors cost little more memory than they have bytes.
//! <https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto>

/// `google.protobuf.FileDescriptorSet`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FileDescriptorSet {
    #[prost(message, repeated, tag = 1)]
    pub(crate) file: Vec<FileDescriptor>,
}

/// `google.protobuf.FileDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileDescriptor {
    #[prost(string, tag = 2)]
    pub(crate) package: String,
    #[prost(message, repeated, tag = 6)]
    pub(crate) service: Vec<ServiceDescriptor>,
}

/// `google.protobuf.ServiceDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ServiceDescriptor {
    #[prost(string, tag = 1)]
    pub(crate) name: String,
    #[prost(message, repeated, tag = 2)]
    pub(crate) method: Vec<MethodDescriptor>,
}

/// `google.protobuf.MethodDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MethodDescriptor {
    #[prost(string, tag = 1)]
    pub(crate) name: String,
    #[prost(bool, tag = 5)]
    pub(crate) client_streaming: bool,
    #[prost(bool, tag = 6)]
    pub(crate) server_streaming: bool,
}
