// Test vectors: McGrew and Viega's GCM specification, cases 13 to 15; RFC 5869, A.1 to A.3.

const hex = (text: string): Buffer => Buffer.from(text, "hex");
const count = (from: number, length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => from + index));

export const GCM_VECTORS = [
  {
    key: Buffer.alloc(32),
    iv: Buffer.alloc(12),
    message: Buffer.alloc(0),
    sealed: hex("530f8afbc74536b9a963b4f1c4cb738b"),
  },
  {
    key: Buffer.alloc(32),
    iv: Buffer.alloc(12),
    message: Buffer.alloc(16),
    sealed: hex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
  },
  {
    key: hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
    iv: hex("cafebabefacedbaddecaf888"),
    message: hex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
    ),
    sealed: hex(
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c",
    ),
  },
];

export const HKDF_VECTORS = [
  {
    key: Buffer.alloc(22, 0x0b),
    salt: count(0, 13),
    info: count(0xf0, 10),
    derived: hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
  },
  {
    key: count(0, 80),
    salt: count(0x60, 80),
    info: count(0xb0, 80),
    derived: hex(
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
  },
  {
    key: Buffer.alloc(22, 0x0b),
    salt: Buffer.alloc(0),
    info: Buffer.alloc(0),
    derived: hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
  },
];
