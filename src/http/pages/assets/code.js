// The check code of a chat's poster: what people compare paper and page by. docs/protocol.md, 14.

const CODE_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The code of a chat number with the digest of its present link, in hex. */
export function checkCode(number, digest) {
  const bits = parseInt(digest.slice(0, 4), 16);
  const link = [11, 6, 1].map((shift) => CODE_DIGITS[(bits >> shift) & 31]).join("");
  const ten = number.replaceAll("-", "").slice(0, 7) + link;
  let product = 32;
  for (const c of ten) product = (((product + CODE_DIGITS.indexOf(c)) % 32 || 32) * 2) % 33;
  const all = ten + CODE_DIGITS[(33 - product) % 32];
  return [all.slice(0, 2), all.slice(2, 5), all.slice(5, 8), all.slice(8)].join("-");
}
