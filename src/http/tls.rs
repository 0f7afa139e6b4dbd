//! Certificates: from PEM files, or a development certificate made on the first run; swapped while running.
//!
//! A new certificate is read, and matched with its key, completely before it replaces the old one: a reload that fails
//! leaves the node serving as before.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::node::config::Config;
use crate::storage::durable;

/// Largest PEM file, bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;
/// Most certificates in a chain.
const MAX_CHAIN: usize = 16;
/// Lifetime of a development certificate. Long, because followers pin it by file.
const DEVELOPMENT_YEARS: i16 = 10;
const REMEDY: &str = "check tls.certificate and tls.private_key, or remove both for a development certificate";

/// The certificate in use. New connections get the one most recently loaded.
pub struct CertStore(ArcSwap<CertifiedKey>);

impl CertStore {
    /// Loads the configured certificate, or the development certificate (made where there is none).
    ///
    /// Errors: `tls.file` unreadable, `tls.pem` not what it should be, `tls.key` not the certificate's key,
    /// `tls.development` could not be made.
    pub fn open(config: &Config) -> Result<Arc<CertStore>> {
        Ok(Arc::new(CertStore(ArcSwap::from_pointee(load(config)?))))
    }

    /// Loads again; on an error the old certificate stays.
    pub fn reload(&self, config: &Config) -> Result<()> {
        self.0.store(Arc::new(load(config)?));
        Ok(())
    }

    /// SHA-256 of the certificate in use, lowercase hex.
    pub fn fingerprint(&self) -> String {
        let key = self.0.load();
        key.cert.first().map(|cert| data_encoding::HEXLOWER.encode(&Sha256::digest(cert))).unwrap_or_default()
    }

    /// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 offered.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::stop("tls.setup", error.to_string(), "report this as a bug"))?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl fmt::Debug for CertStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertStore({})", self.fingerprint())
    }
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn load(config: &Config) -> Result<CertifiedKey> {
    match (&config.tls.certificate, &config.tls.private_key) {
        (Some(certificate), Some(key)) => load_pem(certificate, key),
        _ => {
            let dir = config.node.data_dir.join("tls");
            make_development(&dir, &config.tls.names)?;
            load_pem(&dir.join(DEVELOPMENT_CERT), &dir.join(DEVELOPMENT_KEY))
        }
    }
}

fn load_pem(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let pem_error = |path: &Path, fault: &str| Error::refuse("tls.pem", format!("{}: {fault}", path.display()), REMEDY);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .take(MAX_CHAIN + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| pem_error(certificate, "not a PEM file"))?;
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        return Err(pem_error(certificate, "1 to 16 certificates are required"));
    }
    let pem = zeroize::Zeroizing::new(read(key)?);
    let private =
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| pem_error(key, "no unencrypted private key in it"))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| {
        let detail = format!("{} and {}: {error}", certificate.display(), key.display());
        Error::refuse("tls.key", detail, REMEDY)
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let fault = |fault: String| Error::refuse("tls.file", format!("{}: {fault}", path.display()), REMEDY);
    let file = fs::File::open(path).map_err(|error| fault(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes).map_err(|error| fault(error.to_string()))?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        return Err(fault(format!("larger than {MAX_PEM_BYTES} bytes")));
    }
    Ok(bytes)
}

/// File name of the development certificate in `<data_dir>/tls`: what a follower puts into `follow.ca`.
pub const DEVELOPMENT_CERT: &str = "dev-cert.pem";
const DEVELOPMENT_KEY: &str = "dev-key.pem";
const DEVELOPMENT_NAMES: &str = "dev-names.txt";

/// Makes a self-signed certificate for localhost, 127.0.0.1, ::1 and `extra` names, unless one for exactly these is
/// there already.
fn make_development(dir: &Path, extra: &[String]) -> Result<()> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(extra.iter().filter(|name| !name.is_empty()).cloned());
    let listed = names.join("\n") + "\n";
    let complete = [DEVELOPMENT_CERT, DEVELOPMENT_KEY].iter().all(|name| dir.join(name).exists());
    // The list of names is written last: while it is missing, what lies beside it may be half a pair.
    if complete && fs::read_to_string(dir.join(DEVELOPMENT_NAMES)).is_ok_and(|known| known == listed) {
        return Ok(());
    }
    let failed = |fault: String| {
        let detail = format!("development certificate in {}: {fault}", dir.display());
        Error::refuse("tls.development", detail, "check tls.names and that the data directory can be written")
    };
    let (certificate, key) = generate(names).map_err(|error| failed(error.to_string()))?;
    let write = || -> Result<()> {
        durable::create_dir(dir)?;
        durable::remove(&dir.join(DEVELOPMENT_NAMES))?;
        durable::write_private(&dir.join(DEVELOPMENT_KEY), key.as_bytes())?;
        durable::write_atomic(&dir.join(DEVELOPMENT_CERT), certificate.as_bytes())?;
        durable::write_atomic(&dir.join(DEVELOPMENT_NAMES), listed.as_bytes())
    };
    write().map_err(|error| failed(error.detail().to_owned()))?;
    let file = dir.join(DEVELOPMENT_CERT);
    tracing::warn!(file = %file.display(), "made a development certificate; followers need this file as follow.ca");
    Ok(())
}

fn generate(names: Vec<String>) -> Result<(String, zeroize::Zeroizing<String>), rcgen::Error> {
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "domovoi development certificate");
    let yesterday = jiff::Zoned::now().date().yesterday().unwrap_or(jiff::civil::Date::ZERO);
    let at = |year: i16| {
        // The day is capped at 28 so that it exists in every year.
        rcgen::date_time_ymd(year.into(), yesterday.month().unsigned_abs(), yesterday.day().clamp(1, 28).unsigned_abs())
    };
    params.not_before = at(yesterday.year());
    params.not_after = at(yesterday.year().saturating_add(DEVELOPMENT_YEARS));
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), zeroize::Zeroizing::new(key.serialize_pem())))
}
