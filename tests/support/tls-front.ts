/** A TLS end in front of a plain server, with a certificate of its own authority. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { after } from 'node:test'
import { createServer } from 'node:tls'
import { temporaryFolder } from './temporary-folder.ts'

/** @returns undefined where openssl, which makes the certificate, is not on this machine. */
export async function tlsFront(target: {
  host: string
  port: number
}): Promise<{ readonly port: number; readonly cert: string } | undefined> {
  const folder = temporaryFolder()
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test'.split(' ')
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1']
  try {
    execFileSync('openssl', [...request, ...names, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  const [key, cert] = [readFileSync(keyFile, 'utf8'), readFileSync(certFile, 'utf8')]
  const front = createServer({ key, cert }, (socket) => {
    const behind = connect(target)
    socket.pipe(behind).pipe(socket)
    for (const end of [socket, behind]) end.on('error', () => {})
  })
  front.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  after(() => front.close())
  return { port: (front.address() as AddressInfo).port, cert }
}
