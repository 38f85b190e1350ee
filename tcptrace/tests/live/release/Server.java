import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;

/**
 * A server that forgets some of its connections.
 *
 * It prints its port. Whoever sends "e" gets it back, and is closed when done. Who sends "k" is kept, and
 * never looked at again.
 */
final class Server {
    private static final List<SocketChannel> KEPT = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 1024);
        listener.configureBlocking(false);
        Selector selector = Selector.open();
        listener.register(selector, SelectionKey.OP_ACCEPT);
        System.out.println(((InetSocketAddress) listener.getLocalAddress()).getPort());
        ByteBuffer buffer = ByteBuffer.allocate(1);
        while (true) {
            selector.select();
            for (SelectionKey key : selector.selectedKeys()) {
                if (key.isAcceptable()) {
                    SocketChannel accepted = listener.accept();
                    if (accepted != null) {
                        accepted.configureBlocking(false);
                        accepted.register(selector, SelectionKey.OP_READ);
                    }
                    continue;
                }
                SocketChannel channel = (SocketChannel) key.channel();
                buffer.clear();
                if (channel.read(buffer) < 0) {
                    channel.close();
                } else if (buffer.flip().get(0) == 'k') {
                    key.cancel();
                    KEPT.add(channel);
                } else {
                    channel.write(buffer);
                }
            }
            selector.selectedKeys().clear();
        }
    }
}
