/** An HTTP front before a real S3 service, for answers that it would not give itself. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after } from 'node:test'

/** Answers itself and says so, or leaves the request to the service. */
export type Answers = (asked: IncomingMessage, response: ServerResponse) => boolean

/** @returns its endpoint. Signatures hold: the service sees the host that was signed. */
export async function s3Front(endpoint: string, answers: Answers): Promise<string> {
  const server = createServer((asked, response) => {
    response.on('error', () => {})
    if (answers(asked, response)) {
      asked.resume()
      return
    }
    const { method, headers, url = '/' } = asked
    const passed = request(`${endpoint}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    passed.on('error', () => response.destroy())
    asked.pipe(passed)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An error as S3 tells it. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): true {
  response.writeHead(status, { 'content-type': 'application/xml', ...headers })
  response.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>m</Message></Error>`)
  return true
}
