// The verifier: everything another page or program needs of it. No network, no page, no storage: texts in, answers out, and
// `Refused` with the node's own codes. Its files use nothing but the language and WebCrypto, so they run as they are.

export { Refused, hex } from "./bytes.js";
export { Charters } from "./charter.js";
export { MAX_BUCKET, answerOf, bucketName, digestOf, readBucket, readHead, verifyHead } from "./bucket.js";
export { checkCode } from "./code.js";
export { canonicalLink } from "./link.js";
export { readVkey } from "./log.js";
export { readStatusProof, sayStatus, verifyStatusProof } from "./status.js";
