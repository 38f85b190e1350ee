// Part of tcptrace's test corpus: a program that leaks TCP sockets on purpose, or half-closes them
// innocently, and says what is true.
//
//   java Leak.java --list   the cases, one a line: NAME leak|innocent
//   java Leak.java CASE     sets the case up on 127.0.0.1 and prints its truth, a line of JSON. At
//                           a line `end` on stdin it ends it and prints {"ended_by": HOW}, HOW
//                           being null if it is innocent. When stdin ends it exits.

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

public final class Leak {
    static final byte[] REQUEST = "request".getBytes(ISO_8859_1);
    static final byte[] RESPONSE = "response".getBytes(ISO_8859_1);
    static final int PACE_MS = 20;
    static final long PID = ProcessHandle.current().pid();

    /** What is reachable from here, the garbage collector does not close. */
    static final List<Object> kept = new ArrayList<>();

    // ---- Sockets ----

    static ServerSocket newListener() throws IOException {
        return new ServerSocket(0, 16, InetAddress.getByName("127.0.0.1"));
    }

    static Socket connect(ServerSocket listener) throws IOException {
        return new Socket(listener.getInetAddress(), listener.getLocalPort());
    }

    /** A connection with both ends in this process. */
    record Pair(Socket client, Socket server) {
        static Pair make() throws IOException {
            try (var listener = newListener()) {
                var pair = new Pair(connect(listener), listener.accept());
                kept.add(pair);
                return pair;
            }
        }

        /** The client closes; when the server is in CLOSE_WAIT. */
        When clientLeaves() throws Exception {
            return Ends.of(server).entering("CLOSE_WAIT", client::close);
        }
    }

    record When(long notBefore, long notAfter) {}

    /** The ports of a connection, from one end's view; the addresses are all 127.0.0.1. */
    record Ends(int local, int remote) {
        static final Map<String, String> STATES = Map.of("FIN_WAIT2", "05", "CLOSE_WAIT", "08");

        static Ends of(Socket socket) {
            return new Ends(socket.getLocalPort(), socket.getPort());
        }

        Ends mirrored() {
            return new Ends(remote, local);
        }

        /** The line's beginning in the kernel's table of IPv6, and of IPv4 where that is off. */
        boolean isShown(String table, String host, String state) throws IOException {
            var ends = String.format(" %s:%04X %s:%04X ", host, local, host, remote);
            var wanted = ends + STATES.getOrDefault(state, "");
            var path = Path.of("/proc/net", table);
            return Files.exists(path) && Files.readString(path, ISO_8859_1).contains(wanted);
        }

        boolean isMapped(String state) throws IOException {
            return isShown("tcp6", "0000000000000000FFFF00000100007F", state);
        }

        /** The kernel's own word for a socket's state: Java has none. */
        void untilShown(String state) throws Exception {
            while (!isMapped(state) && !isShown("tcp", "0100007F", state)) {
                Thread.sleep(1);
            }
        }

        When entering(String state, Act act) throws Exception {
            long before = now();
            act.run();
            untilShown(state);
            return new When(before, now());
        }

        /** Java's sockets are IPv6 ones, and their IPv4 addresses mapped, wherever it can. */
        String json() throws IOException {
            var address = isMapped("") ? "[::ffff:127.0.0.1]" : "127.0.0.1";
            return String.format(
                "\"local\":\"%s:%d\",\"remote\":\"%s:%d\"", address, local, address, remote);
        }
    }

    interface Act {
        void run() throws Exception;
    }

    static long now() {
        var now = Instant.now();
        return TimeUnit.SECONDS.toNanos(now.getEpochSecond()) + now.getNano();
    }

    // ---- What servers do ----

    /** Reads up to the end of file. */
    static void handleRequest(Socket socket) throws IOException {
        var data = new byte[4096];
        while (socket.getInputStream().read(data) != -1) {}
    }

    // ---- The protocol ----

    /** What is true of a socket that leaks, and of which this process is the only holder. */
    static String truth(Ends ends, String verdict, When when) throws IOException {
        return truth(ends, verdict, when, String.valueOf(PID), null);
    }

    static String truthOfReader(Ends ends, When when, String function) throws IOException {
        return truth(ends, "eof_read", when, String.valueOf(PID), function);
    }

    static String truth(Ends ends, String verdict, When when, String holders, String function)
            throws IOException {
        return String.format(
            "{%s,\"state\":\"CLOSE_WAIT\",\"verdict\":\"%s\",\"blame\":%d,\"holders\":[%s],"
                + "\"held_by\":null,\"eof_read_by\":%s,\"eof_peeked_by\":null,\"function\":%s,"
                + "\"not_before_ns\":%d,\"not_after_ns\":%d}",
            ends.json(), verdict, PID, holders, function == null ? null : PID,
            function == null ? null : '"' + function + '"', when.notBefore, when.notAfter);
    }

    static void printTruth(String leak, Ends... innocent) throws IOException {
        var ends = new ArrayList<String>();
        for (var end : innocent) {
            ends.add("{" + end.json() + "}");
        }
        System.out.printf(
            "{\"sockets\":[%s],\"innocent\":[%s]}%n", leak, String.join(",", ends));
    }

    static final CountDownLatch toldToEnd = new CountDownLatch(1);

    static void followStdin() {
        try (var lines = new BufferedReader(new InputStreamReader(System.in))) {
            while ("end".equals(lines.readLine())) {
                toldToEnd.countDown();
            }
        } catch (IOException error) {
            System.err.println(error);
        }
        Runtime.getRuntime().halt(0);
    }

    static void ended(String how) {
        System.out.printf("{\"ended_by\":%s}%n", how == null ? null : '"' + how + '"');
    }

    // ---- Leaks ----

    static void eofRead() throws Exception {
        var pair = Pair.make();
        pair.client.getOutputStream().write(REQUEST);
        var when = pair.clientLeaves();
        handleRequest(pair.server);
        printTruth(truthOfReader(Ends.of(pair.server), when, "handleRequest"));
        toldToEnd.await();
        pair.server.close();
        ended("closed");
    }

    /** Connections that are kept for the next request, and not looked at before that. */
    static final class Pool {
        private final Deque<Socket> idle = new ArrayDeque<>();

        void giveBack(Socket socket) {
            idle.push(socket);
        }

        void close() throws IOException {
            while (!idle.isEmpty()) {
                idle.pop().close();
            }
        }
    }

    static void eofUnreadPool() throws Exception {
        var pair = Pair.make();
        var pool = new Pool();
        pair.client.getOutputStream().write(REQUEST);
        pair.server.getInputStream().readNBytes(REQUEST.length);
        pair.server.getOutputStream().write(RESPONSE);
        pair.client.getInputStream().readNBytes(RESPONSE.length);
        pool.giveBack(pair.client);
        var ends = Ends.of(pair.client);
        var when = ends.entering("CLOSE_WAIT", pair.server::close);
        printTruth(truth(ends, "eof_unread", when));
        toldToEnd.await();
        pool.close();
        ended("closed");
    }

    static void dataUnread() throws Exception {
        var pair = Pair.make();
        pair.client.getOutputStream().write(REQUEST);
        var when = pair.clientLeaves();
        printTruth(truth(Ends.of(pair.server), "data_unread", when));
        toldToEnd.await();
        ended("process_exit");
        Runtime.getRuntime().halt(0);
    }

    /** Accepts one connection and never gets done with it. */
    static void acceptAndServe(ServerSocket listener, CountDownLatch accepted) {
        try {
            kept.add(listener.accept());
            accepted.countDown();
            new CountDownLatch(1).await();
        } catch (IOException | InterruptedException error) {
            System.err.println(error);
        }
    }

    static void notAccepted() throws Exception {
        var listener = newListener();
        var accepted = new CountDownLatch(1);
        daemon(() -> acceptAndServe(listener, accepted));
        var first = connect(listener);
        kept.add(first);
        accepted.await();
        var second = connect(listener);
        second.getOutputStream().write(REQUEST);
        var ends = Ends.of(second).mirrored();
        var when = ends.entering("CLOSE_WAIT", second::close);
        var innocent = Ends.of(first);
        printTruth(truth(ends, "not_accepted", when, "", null), innocent, innocent.mirrored());
        toldToEnd.await();
        listener.close();
        ended("listener_closed");
    }

    /** Whether there is more to come. */
    static boolean onReadable(SelectionKey key, ByteBuffer buffer) throws IOException {
        int length;
        do {
            buffer.clear();
            length = ((SocketChannel) key.channel()).read(buffer);
        } while (length > 0);
        if (length == -1) {
            // The selector forgets it, and so does the program.
            key.cancel();
        }
        return length != -1;
    }

    static void nioEofRead() throws Exception {
        var selector = Selector.open();
        var listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress("127.0.0.1", 0));
        var client = connect(listener.socket());
        var server = listener.accept();
        kept.add(server);
        listener.close();
        server.configureBlocking(false);
        server.register(selector, SelectionKey.OP_READ);
        client.getOutputStream().write(REQUEST);
        var ends = Ends.of(server.socket());
        var when = ends.entering("CLOSE_WAIT", client::close);
        var buffer = ByteBuffer.allocateDirect(4096);
        boolean open = true;
        while (open) {
            selector.select();
            for (var key : selector.selectedKeys()) {
                open = onReadable(key, buffer);
            }
            selector.selectedKeys().clear();
        }
        selector.selectNow();
        printTruth(truthOfReader(ends, when, "onReadable"));
        toldToEnd.await();
        server.close();
        ended("closed");
    }

    // ---- Innocent ----

    static void streaming() throws Exception {
        var pair = Pair.make();
        var client = daemon(() -> {
            try (var socket = pair.client) {
                handleRequest(socket);
            } catch (IOException error) {
                System.err.println(error);
            }
        });
        pair.client.getOutputStream().write(REQUEST);
        var ends = Ends.of(pair.client);
        ends.entering("FIN_WAIT2", pair.client::shutdownOutput);
        handleRequest(pair.server);
        printTruth("", ends, ends.mirrored());
        do {
            pair.server.getOutputStream().write(RESPONSE);
        } while (!toldToEnd.await(PACE_MS, TimeUnit.MILLISECONDS));
        pair.server.close();
        client.join();
        ended(null);
    }

    // ----

    static Thread daemon(Runnable body) {
        var thread = new Thread(body);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    static Map<String, Act> leaks() {
        var leaks = new LinkedHashMap<String, Act>();
        leaks.put("eof_read", Leak::eofRead);
        leaks.put("eof_unread_pool", Leak::eofUnreadPool);
        leaks.put("data_unread", Leak::dataUnread);
        leaks.put("not_accepted", Leak::notAccepted);
        leaks.put("nio_eof_read", Leak::nioEofRead);
        return leaks;
    }

    static Map<String, Act> innocent() {
        return Map.of("streaming", Leak::streaming);
    }

    public static void main(String[] arguments) throws Exception {
        var wanted = arguments.length == 1 ? arguments[0] : "";
        if (wanted.equals("--list")) {
            leaks().keySet().forEach(name -> System.out.println(name + " leak"));
            innocent().keySet().forEach(name -> System.out.println(name + " innocent"));
            return;
        }
        var cases = Stream.of(leaks(), innocent())
            .flatMap(map -> map.entrySet().stream())
            .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
        if (!cases.containsKey(wanted)) {
            System.err.println("usage: java Leak.java --list | CASE");
            System.exit(2);
        }
        // A thread that is no daemon: the program lives as long as its standard input.
        new Thread(Leak::followStdin).start();
        cases.get(wanted).run();
    }
}
