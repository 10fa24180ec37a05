// Program: times the ciphers under whatever its environment told OpenSSL of the CPU, and says what came out.

import { timeBoth, verifyVectors } from "./crypto.ts";

verifyVectors();
process.stdout.write(`${JSON.stringify(timeBoth(Number(process.argv[2])))}\n`);
