import type { FileHandle } from 'node:fs/promises'

/** Boxes looked at; a longer file is taken as it is. */
const maxBoxes = 20_000

/**
 * Finds out whether an MP4 or QuickTime file is whole, by walking its top-level boxes (ISO/IEC 14496-12, §4.2): ffmpeg
 * itself decodes what is left of a cut file and calls that a success.
 */
export async function movDamage(file: FileHandle, fileBytes: number): Promise<string | undefined> {
  const header = Buffer.alloc(16)
  let hasIndex = false
  let at = 0
  for (let box = 0; box < maxBoxes && at + 8 <= fileBytes; box++) {
    const { bytesRead } = await file.read(header, 0, 16, at)
    const short = header.readUInt32BE(0)
    if (header.toString('latin1', 4, 8) === 'moov') hasIndex = true
    if (short === 1 && bytesRead < 16) break
    const bytes = short === 1 ? Number(header.readBigUInt64BE(8)) : short
    if (short === 0) break // to the end of the file
    if (bytes < 8) return undefined // padding or junk behind the last box
    at += bytes
    if (at > fileBytes) return `the file is cut off: ${fileBytes} of at least ${at} bytes are there`
  }
  return hasIndex ? undefined : 'the file has no index (moov): it is cut off or was never finished'
}
