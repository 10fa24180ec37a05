// Program: an HTTPS server that encrypts a chunk for every request, under a key derived for it, as a storage node does.
// Key and certificate are files; it says its port and ends with its stdin.

import { createCipheriv, hkdfSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

const CHUNK_BYTES = 16 * 1_024;

const [, , key = "", cert = ""] = process.argv;
const master = randomBytes(32);
const chunk = randomBytes(CHUNK_BYTES);
let served = 0;

const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) => {
  const id = String(served++);
  const cipher = createCipheriv(
    "aes-256-gcm",
    Buffer.from(hkdfSync("sha256", master, id, "chunk-dek-v1", 32)),
    randomBytes(12),
  );
  const sealed = Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
  response.writeHead(200, { "content-length": sealed.length }).end(sealed);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.stdin.resume().on("end", () => process.exit(0));
