/**
 * A GGUF file comes from others and is read by native code. Before that it is looked at here:
 *
 *   [file]    it is a regular file, or a link to one: no device, pipe or folder
 *   [format]  it begins with GGUF, in version 2 or 3, little endian
 *   [size]    it is large enough for the tensors and the metadata that it claims to have
 *
 * llama.cpp checks the rest as it loads: bounds and types of every tensor, and with `checkTensors` their values. It is a
 * large parser all the same, so take files only from whom you would take a program.
 */
import { open, stat } from 'node:fs/promises'
import { SetupError } from '../../ports/errors.ts'

const HEADER_BYTES = 24
/** Name, dimensions, type and offset of a tensor; key, type and value of metadata. */
const LEAST_TENSOR_BYTES = 24
const LEAST_METADATA_BYTES = 13

/** @throws SetupError 'bad-gguf' */
export async function checkGguf(path: string): Promise<void> {
  const refused = (why: string, cause?: unknown) =>
    new SetupError('bad-gguf', `${path} ${why}. Give the path of a whole GGUF file with --gguf.`, { cause })
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw refused(cause.code === 'ENOENT' ? 'does not exist' : `cannot be read (${cause.code})`, cause)
  })
  if (!found.isFile()) throw refused('is no file') // [file]
  if (found.size < HEADER_BYTES) throw refused(`has ${found.size} bytes and no room for a header`)
  const header = Buffer.alloc(HEADER_BYTES)
  const file = await open(path).catch((cause: NodeJS.ErrnoException) => {
    throw refused(`cannot be opened (${cause.code})`, cause)
  })
  try {
    await file.read(header, 0, HEADER_BYTES, 0)
  } finally {
    await file.close()
  }
  if (header.toString('latin1', 0, 4) !== 'GGUF') throw refused('is no GGUF file: it does not begin with GGUF')
  const version = header.readUInt32LE(4)
  if (version !== 2 && version !== 3) throw refused(`is of GGUF version ${version}; 2 and 3 are read`) // [format]
  const least =
    header.readBigUInt64LE(8) * BigInt(LEAST_TENSOR_BYTES) + header.readBigUInt64LE(16) * BigInt(LEAST_METADATA_BYTES)
  if (least > BigInt(found.size - HEADER_BYTES)) throw refused('is shorter than its header says: it is cut off') // [size]
}
