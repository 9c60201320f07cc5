/* Merkle trees of RFC 9162 §2.1 (ledger_client/formats/merkle.py). Sizes and indexes are BigInt. */

const leafHash = (entry) => sha256(Uint8Array.of(0), entry);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

/** The root that a leaf hash and its path lead to (§2.1.3.2). */
async function rootFromPath(leaf, { size, index, path }) {
  if (index >= size) throw new Failure(3, "path-no-leaf", { leaf: index, size });
  let [node, last, result] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) throw new Failure(3, "path-too-long", { n: path.length, leaf: index, size });
    if (node & 1n || node === last) {
      result = await nodeHash(sibling, result);
      while (!(node & 1n) && node) [node, last] = [node >> 1n, last >> 1n]; // the odd one of its level moves up
    } else {
      result = await nodeHash(result, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  if (last) throw new Failure(3, "path-too-short", { n: path.length, leaf: index, size });
  return result;
}
